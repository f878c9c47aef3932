//! Easing: while this supernode has too much to do, some of its devices are sent elsewhere ([`cosmic_custody::easing`]).

use std::{sync::Arc, time::Duration};

use cosmic_custody::easing::Easing;

use crate::{context::Context, session::Door};

/// How often is looked how hard pressed this supernode is.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Looks for ever.
pub(crate) fn start(context: &Arc<Context>) {
    let watching = Arc::clone(context);
    context.tasks.spawn("easing", |stop| async move {
        stop.unless(watch(watching)).await;
    });
}

async fn watch(context: Arc<Context>) {
    let mut easing = Easing::default();
    loop {
        context.clock.sleep(LOOK_EVERY).await;
        let sessions = &context.sessions;
        // Who leaves sends everybody away as it is.
        let is_overloaded = context.net.is_overloaded() && *sessions.door().borrow() == Door::Open;
        let is_alone = is_overloaded && is_alone(&context).await;
        let going = easing.look(context.clock.now(), is_overloaded, sessions.len(), is_alone);
        if going > 0 {
            tracing::info!(
                going,
                of = sessions.len(),
                "too much to do: devices are sent to other supernodes"
            );
            sessions.send_away(going);
        }
    }
}

/// Whether no other member of the ring is there.
async fn is_alone(context: &Context) -> bool {
    let connected = context.net.connected().await.unwrap_or_default();
    let ring = context.ring_view();
    !connected.iter().any(|peer| *peer != context.peer && ring.members.is_active(peer))
}
