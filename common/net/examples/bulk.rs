//! Bulk bytes over one stream of loopback: rate and CPU seconds per GB of both ends, by what carries them.
//!
//! `cargo run -p cosmic-net --example bulk -- 1024` moves 1,024 MiB over each.

use std::time::Duration;

use cosmic_common::protocol::OBJECT;
use cosmic_net::{Config, Error};

#[path = "carry/pieces.rs"]
mod carry;

use carry::{PIECE_BYTES, clock, cpu_seconds, run_pieces, start};

const SOON: Duration = Duration::from_secs(60);

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mebibytes: usize = std::env::args().nth(1).map_or(Ok(256), |text| text.parse())?;
    let pieces = (mebibytes * 1024 * 1024).div_ceil(PIECE_BYTES);
    for (carrier, bulk, listen) in [
        ("swarm, QUIC", false, "/ip4/127.0.0.1/udp/0/quic-v1"),
        ("swarm, TCP", false, "/ip4/127.0.0.1/tcp/0"),
        ("bulk plane", true, "/ip4/127.0.0.1/tcp/0"),
    ] {
        let bulk_listen = bulk.then_some(([127, 0, 0, 1], 0).into());
        let config = Config { listen: vec![listen.parse()?], bulk, bulk_listen, ..Config::default() };
        let (near, far) = (start(1, config.clone()).await?, start(2, config).await?);
        near.add_addresses(far.local_peer(), &far.listening()).await?;
        let mut incoming = far.accept(OBJECT)?;
        let sending = near.open(far.local_peer(), OBJECT, SOON).await?;
        let receiving = incoming.next().await.ok_or(Error::Stopped)?;
        run_pieces(sending, receiving, 16).await?;
        let sending = near.open(far.local_peer(), OBJECT, SOON).await?;
        let receiving = incoming.next().await.ok_or(Error::Stopped)?;
        let (cpu, began) = (cpu_seconds()?, tokio::time::Instant::from_std(clock()));
        run_pieces(sending, receiving, pieces).await?;
        let (cpu, elapsed) = (cpu_seconds()? - cpu, began.elapsed().as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let gigabytes = (pieces * PIECE_BYTES) as f64 / 1e9;
        println!(
            r#"{{"carrier": "{carrier}", "mb_per_s": {:.0}, "cpu_s_per_gb": {:.2}}}"#,
            gigabytes * 1e3 / elapsed,
            cpu / gigabytes
        );
    }
    Ok(())
}
