//! The entries half of a supernode, started.

use std::sync::Arc;

use crate::{
    context::Context,
    gateway,
    objects::Objects,
    packs::{self, Packs, Reader},
    replica::{client::Replicas, rounds, server},
    spaces::Spaces,
};

/// Serves `/cosmic/space/1` and `/cosmic/replica/1`, and keeps the spaces of this supernode in step with other replicas.
///
/// # Errors
/// If the network was not told of these protocols, or somebody serves them already.
pub fn start(
    context: Arc<Context>,
    objects: &Objects,
    config: &packs::Config,
    metrics: packs::Metrics,
) -> Result<(Spaces, Packs), cosmic_net::Error> {
    let replicas = Replicas::new(Arc::clone(&context));
    let reader = Reader::new(context.store.clone(), objects.clone());
    let spaces = Spaces::new(context, replicas, reader);
    let packs = Packs::new(spaces.clone(), objects.clone(), config, metrics);
    server::start(&spaces, &packs)?;
    gateway::start(&spaces, &packs)?;
    let rounds = spaces.clone();
    spaces.context().tasks.spawn("anti-entropy", |stop| rounds::run(rounds, stop));
    Ok((spaces, packs))
}
