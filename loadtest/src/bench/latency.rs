//! `latency`: from a write request on one device to the event at an app beside another, through a supernode.

use std::{path::Path, time::Duration};

use reqwest::{Method, Response};
use serde_json::json;

use super::{Error, PATIENCE, Report, now, percentile, wait_until};
use crate::{
    api::{self, App},
    network::Network,
};

const SUPERNODES: usize = 3;
const WARM_UP: usize = 20;
/// After this long a change counts as stalled, and another one is written to set things going; its sample keeps the whole time.
const STALL: Duration = Duration::from_secs(2);

pub(super) async fn run(directory: &Path, samples: usize) -> Result<Report, Error> {
    let mut report = Report::default();
    report.parameter("samples", samples);
    report.parameter("supernodes", SUPERNODES);
    let network = Network::start(directory, SUPERNODES, SUPERNODES).await?;
    let a = network.start_node("device-a", &[]).await?;
    let b = network.start_node("device-b", &[]).await?;
    let (app_a, app_b) = (App::new(&a), App::new(&b));
    let space = app_a.create_space("Bench").await?;
    app_a.put(&document(&space, "first"), &json!({"number": 0})).await?;
    app_b.join(&app_a.invite(&space, "editor").await?).await?;
    wait_until(&app_b, &document(&space, "first"), "the first document", |_answer| true).await?;

    let mut events = Events {
        stream: app_b.send(Method::GET, &format!("events?space={space}"), |r| r).await?,
        text: String::new(),
    };
    let mut stalls = 0_u64;
    let (mut seen, mut answered) = (Vec::new(), Vec::new());
    for number in 0..WARM_UP + samples {
        let id = format!("sample-{number:05}.");
        let (path, value) = (document(&space, &id), json!({"number": number, "text": "a small change"}));
        let begun = now();
        let write = async {
            app_a.put(&path, &value).await?;
            Ok::<f64, Error>(begun.elapsed().as_secs_f64() * 1e3)
        };
        let read = async {
            loop {
                if let Ok(seen) = tokio::time::timeout(STALL, events.wait_for(&id)).await {
                    seen?;
                    break;
                }
                stalls += 1;
                app_a.put(&document(&space, "nudge"), &json!({"stalls": stalls})).await?;
            }
            Ok::<f64, Error>(begun.elapsed().as_secs_f64() * 1e3)
        };
        let (write, read) = tokio::try_join!(write, read)?;
        if number >= WARM_UP {
            answered.push(write);
            seen.push(read);
        }
    }
    for (name, samples) in [("", &mut seen), ("answer_", &mut answered)] {
        samples.sort_by(f64::total_cmp);
        report.figure(&format!("{name}p50_ms"), percentile(samples, 0.5));
        report.figure(&format!("{name}p99_ms"), percentile(samples, 0.99));
    }
    report.bytes("stalls", stalls);
    drop(events);
    a.stop().await?;
    b.stop().await?;
    network.stop().await?;
    Ok(report)
}

fn document(space: &str, id: &str) -> String {
    format!("spaces/{space}/collections/samples/documents/{id}")
}

/// The events of one node, read as they come.
struct Events {
    stream: Response,
    text: String,
}

impl Events {
    /// Waits until an event names `id`, and forgets everything before it.
    async fn wait_for(&mut self, id: &str) -> Result<(), Error> {
        let lost = |source| api::Error::Http { method: Method::GET, path: "events".to_owned(), source };
        loop {
            if let Some(position) = self.text.find(id) {
                self.text.drain(..position + id.len());
                return Ok(());
            }
            let piece = tokio::time::timeout(PATIENCE, self.stream.chunk()).await;
            let Ok(Some(piece)) = piece.unwrap_or(Ok(None)).map_err(lost) else {
                return Err(Error::NoEvent(id.to_owned()));
            };
            self.text.push_str(&String::from_utf8_lossy(&piece));
        }
    }
}
