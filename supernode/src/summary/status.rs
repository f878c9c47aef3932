//! What an operator sees of the network: the world, its regions, their zones.

use cosmic_summary::{Figures, LatencySketch, MemberState, States, WorldRegion};
use serde_json::{Map, Value, json};

use super::Summaries;

impl Summaries {
    /// The world, the regions and the zones, as one JSON object.
    pub async fn status(&self) -> Value {
        let world = self.look().await;
        let view = self.0.context.ring_view();
        self.show(&view, &world);
        let now = self.0.context.clock.now();
        let age = |region: &WorldRegion| now.since(region.time).as_secs();
        let regions = world.regions.iter().map(|region| {
            let mut line = line(&region.states, &region.figures, Some(&region.latency));
            line.insert("region".to_owned(), json!(region.name.as_str()));
            line.insert("aggregators".to_owned(), json!(region.aggregators));
            line.insert("age_secs".to_owned(), json!(age(region)));
            line.insert("zones_left_off".to_owned(), json!(region.zones_left_off));
            Value::Object(line)
        });
        let zones = world.regions.iter().flat_map(|region| {
            region.zones.iter().map(|zone| {
                let mut line = line(&zone.states, &zone.figures, None);
                line.insert("region".to_owned(), json!(region.name.as_str()));
                line.insert("zone".to_owned(), json!(zone.zone.as_str()));
                Value::Object(line)
            })
        });
        let mut all = line(&world.states, &world.figures, Some(&world.latency));
        all.insert("regions".to_owned(), json!(world.regions.len()));
        all.insert("age_secs".to_owned(), json!(world.regions.iter().map(age).max()));
        let silent = self.silent(&view);
        json!({
            "world": all,
            "regions": regions.collect::<Vec<_>>(),
            "zones": zones.collect::<Vec<_>>(),
            "silent_regions": silent.iter().map(cosmic_ring::Label::as_str).collect::<Vec<_>>(),
        })
    }
}

fn line(states: &States, figures: &Figures, latency: Option<&LatencySketch>) -> Map<String, Value> {
    let mut line = Map::new();
    line.insert("members".to_owned(), json!(states.members()));
    for state in MemberState::ALL {
        line.insert(state.name().to_owned(), json!(states.get(state)));
    }
    for (name, value) in [
        ("devices", figures.devices),
        ("spaces", whole(figures.spaces_milli)),
        ("entries", whole(figures.entries_milli)),
        ("objects", whole(figures.objects_milli)),
        ("kept_bytes", figures.kept_bytes),
        ("free_bytes", figures.free_bytes),
        ("capacity_bytes", figures.capacity_bytes),
    ] {
        line.insert(name.to_owned(), json!(value));
    }
    if let Some(latency) = latency {
        for (name, part) in [("p50_ms", 0.5), ("p99_ms", 0.99)] {
            let millis = latency.quantile(part).map(|took| (took.as_secs_f64() * 10_000.0).round() / 10.0);
            line.insert(name.to_owned(), json!(millis));
        }
    }
    line
}

/// Thousandths as whole numbers.
pub(super) const fn whole(milli: u64) -> u64 {
    milli.saturating_add(500) / 1000
}
