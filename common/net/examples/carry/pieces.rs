//! What the measuring programs share: peers, objects sent from one to the other, the clock and the CPU.

use std::sync::Arc;

use cosmic_common::protocol::OBJECT;
use cosmic_identity::key::SecretKey;
use cosmic_net::{Actor, Config, Error, Handle, Metrics, Options, RefuseAll, Stream, bind};

/// What one call sends: an object.
pub(crate) const PIECE_BYTES: usize = 4 * 1024 * 1024;

#[expect(clippy::disallowed_methods, reason = "a measuring program has no supervisor and no other clock")]
pub(crate) fn clock() -> std::time::Instant {
    std::time::Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "a measuring program has no supervisor; tasks end with it")]
pub(crate) async fn run_pieces(mut here: Stream, mut there: Stream, pieces: usize) -> Result<(), Error> {
    let sender = tokio::spawn(async move {
        let object = vec![7; PIECE_BYTES];
        for _ in 0..pieces {
            here.send_bulk(&object).await?;
        }
        here.close().await?;
        here.recv(1).await
    });
    let mut object = Vec::with_capacity(PIECE_BYTES);
    for _ in 0..pieces {
        object.clear();
        there.recv_bulk(&mut object, PIECE_BYTES).await?;
    }
    there.close().await?;
    sender.await.map_err(|_panicked| Error::Stopped)?.map(drop)
}

pub(crate) async fn start(seed: u8, config: Config) -> Result<Handle, Error> {
    let key = SecretKey::from_seed(&[seed; 32]);
    let validator = Arc::new(RefuseAll);
    let options = Options { key: &key, config, protocols: &[OBJECT], validator, metrics: Metrics::default() };
    let (handle, actor) = bind(options).await?;
    run(actor);
    Ok(handle)
}

#[expect(clippy::disallowed_methods, reason = "a measuring program has no supervisor; tasks end with it")]
fn run(actor: Actor) {
    tokio::spawn(actor.run(std::future::pending()));
}

/// User and system time of this process so far; Linux counts in hundredths.
pub(crate) fn cpu_seconds() -> Result<f64, Box<dyn std::error::Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |place: usize| fields.get(place).copied().unwrap_or("0").parse::<f64>();
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}
