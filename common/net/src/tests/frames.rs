//! Properties of framing: any frames in any pieces arrive whole, and any bytes at all are met with a typed answer.

use cosmic_common::id::PeerId;
use proptest::prelude::*;
use tokio::io::AsyncWriteExt as _;

use super::ECHO;
use crate::{Error, FRAME_MAX_BYTES, Metrics, Stream, stream::Usage};

const PEER: PeerId = PeerId::from_bytes([1; 32]);

fn run<T>(future: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().build().unwrap().block_on(future)
}

fn stream(pipe: tokio::io::DuplexStream) -> Stream {
    Stream::new(PEER, ECHO, pipe, Usage::default(), Metrics::default().by_swarm())
}

proptest! {
    #[test]
    fn frames_survive_any_piecing(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5000), 0..20),
        pieces in prop::collection::vec(1_usize..4000, 1..50),
        pipe_bytes in 1_usize..9000,
    ) {
        let mut wire = Vec::new();
        for frame in &frames {
            wire.extend_from_slice(&u32::try_from(frame.len()).unwrap().to_be_bytes());
            wire.extend_from_slice(frame);
        }
        let (mut raw, pipe) = tokio::io::duplex(pipe_bytes);
        let received = run(async {
            let writing = async {
                let mut rest = wire.as_slice();
                for size in pieces.iter().cycle() {
                    if rest.is_empty() { break }
                    let (piece, after) = rest.split_at((*size).min(rest.len()));
                    raw.write_all(piece).await.unwrap();
                    rest = after;
                }
                drop(raw);
            };
            let reading = async {
                let mut stream = stream(pipe);
                let mut received = Vec::new();
                while let Some(frame) = stream.recv(FRAME_MAX_BYTES).await.unwrap() {
                    received.push(frame);
                }
                received
            };
            tokio::join!(writing, reading).1
        });
        prop_assert_eq!(received, frames);
    }

    #[test]
    fn any_bytes_get_a_typed_answer(bytes in prop::collection::vec(any::<u8>(), 0..3000), limit in 0_usize..2000) {
        let (mut raw, pipe) = tokio::io::duplex(1 << 20);
        let end = run(async {
            raw.write_all(&bytes).await.unwrap();
            drop(raw);
            let mut stream = stream(pipe);
            loop {
                match stream.recv(limit).await {
                    Ok(Some(frame)) => assert!(frame.len() <= limit),
                    end => break end,
                }
            }
        });
        let typed = matches!(end, Ok(None) | Err(Error::FrameTooLong { .. } | Error::Truncated { .. }));
        prop_assert!(typed, "{end:?}");
    }
}
