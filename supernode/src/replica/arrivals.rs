//! Arrivals: whoever waits for a replica that was away hears at once that it is there, or where it is now.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cosmic_common::{address::Address, id::PeerId};
use cosmic_net::Event;
use cosmic_runtime::shutdown::Shutdown;
use tokio::sync::Notify;

use crate::context::Context;

/// Who waits for whom. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Arrivals(Arc<Mutex<HashMap<PeerId, Arc<Notify>>>>);

impl Arrivals {
    /// Waits until something is heard of `peer`; from now on, not only from when it is first polled.
    pub fn of(&self, peer: PeerId) -> impl Future<Output = ()> + Send + 'static {
        let notify = Arc::clone(self.waiting().entry(peer).or_default());
        notify.notified_owned()
    }

    /// Tells those who wait for `peer`.
    pub fn tell(&self, peer: &PeerId) {
        let waiting = self.waiting().remove(peer);
        if let Some(waiting) = waiting {
            waiting.notify_waiters();
        }
    }

    fn tell_all(&self) {
        let waiting = std::mem::take(&mut *self.waiting());
        for notify in waiting.into_values() {
            notify.notify_waiters();
        }
    }

    /// Listens to the network and the ring until it is stopped.
    pub(crate) async fn listen(self, context: Arc<Context>, stop: Shutdown) {
        let mut events = context.net.events();
        let mut ring = context.ring.clone();
        let mut known = context.ring_view().endpoints.clone();
        loop {
            tokio::select! {
                () = stop.triggered() => return,
                event = events.next() => match event {
                    Some(Event::Connected { peer, .. } | Event::AddressesTold { peer, .. }) => self.tell(&peer),
                    Some(Event::Missed(_)) => self.tell_all(),
                    Some(_) => {}
                    None => return,
                },
                changed = ring.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let endpoints = context.ring_view().endpoints.clone();
                    self.tell_of_new_addresses(&known, &endpoints);
                    known = endpoints;
                }
            }
        }
    }

    fn tell_of_new_addresses(
        &self,
        before: &BTreeMap<PeerId, Vec<Address>>,
        now: &BTreeMap<PeerId, Vec<Address>>,
    ) {
        for (peer, _) in now.iter().filter(|(peer, addresses)| before.get(peer) != Some(addresses)) {
            self.tell(peer);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<PeerId, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const PEER: PeerId = PeerId::from_bytes([1; 32]);
    const OTHER: PeerId = PeerId::from_bytes([2; 32]);

    #[tokio::test]
    async fn those_who_wait_hear_of_their_peer_and_of_no_other() {
        let arrivals = Arrivals::default();
        let (one, another, other) = (arrivals.of(PEER), arrivals.of(PEER), arrivals.of(OTHER));
        arrivals.tell(&PEER);
        tokio::join!(one, another);
        assert!(other.now_or_never().is_none());
        assert!(arrivals.of(PEER).now_or_never().is_none(), "what was heard before is not news");
    }

    #[tokio::test]
    async fn a_new_address_is_news_and_the_same_one_is_not() {
        let arrivals = Arrivals::default();
        let at = |address: &str| BTreeMap::from([(PEER, vec![address.parse().unwrap()])]);
        let (old, new) = (at("/ip4/127.0.0.1/tcp/1"), at("/ip4/127.0.0.1/tcp/2"));
        let waiting = arrivals.of(PEER);
        arrivals.tell_of_new_addresses(&old, &old);
        let mut waiting = std::pin::pin!(waiting);
        assert!(waiting.as_mut().now_or_never().is_none());
        arrivals.tell_of_new_addresses(&old, &new);
        waiting.await;
    }
}
