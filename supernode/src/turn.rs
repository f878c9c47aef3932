//! STUN and TURN for browsers, which cannot speak what devices speak: a relay of their own, for those a device vouches for.
//!
//! ```text
//! device ── TurnRequest ──▶ serve ── credential ──▶ device ──▶ its browser
//!                                                                 │
//! peers ◀── ports ── server ◀── cosmic_turn::Relay ◀── datagrams ─┘
//! ```

mod config;
#[cfg(feature = "turn")]
mod connections;
#[cfg(feature = "turn")]
mod metrics;
#[cfg(feature = "turn")]
mod ports;
#[cfg(feature = "turn")]
mod serve;
#[cfg(feature = "turn")]
mod server;

use std::{io, net::SocketAddr, sync::Arc};

pub use config::Config;
use cosmic_runtime::metrics::Registry;
use serde_json::Value;

use crate::context::Context;

/// Why browsers cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The port.
    #[error("turn.listen: {address} cannot be listened on")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The protocol that devices ask by.
    #[error(transparent)]
    Net(#[from] cosmic_net::Error),
}

/// The relay for browsers of this supernode, as others see it.
#[derive(Debug, Clone)]
pub struct Turn {
    /// Where it listens, over UDP and TCP.
    pub address: SocketAddr,
    status: Arc<dyn Status>,
}

/// What an operator is told.
trait Status: std::fmt::Debug + Send + Sync {
    fn status(&self) -> Value;
}

impl Turn {
    /// How it is.
    #[must_use]
    pub fn status(&self) -> Value {
        self.status.status()
    }
}

/// Begins to serve, if the settings say where; a build without the feature refuses them before.
///
/// # Errors
/// [`Error`], with what stands in the way.
#[cfg(feature = "turn")]
pub async fn start(
    context: &Arc<Context>,
    config: &Config,
    registry: &Registry,
) -> Result<Option<Turn>, Error> {
    let metrics = metrics::Metrics::register(registry);
    let (Some(listen), Some(external)) = (config.listen, config.external()) else { return Ok(None) };
    let issuer = cosmic_turn::Issuer::new(&context.key.seed());
    let server = server::Server::bind(context, config, (listen, external), &issuer, metrics.clone()).await?;
    let address = server.address();
    let outside = SocketAddr::new(external, address.port());
    serve::serve(context, outside, issuer, config.credential(), metrics.clone())?;
    context.tasks.spawn("turn", |shutdown| server.run(shutdown));
    tracing::info!(listen = %address, outside = %outside, "a relay for browsers");
    Ok(Some(Turn { address, status: Arc::new(serve::Told { outside, metrics }) }))
}

/// Serves nobody: this build has no relay for browsers.
///
/// # Errors
/// None.
#[cfg(not(feature = "turn"))]
#[expect(clippy::unused_async, reason = "the same as with the feature")]
pub async fn start(_: &Arc<Context>, _: &Config, _: &Registry) -> Result<Option<Turn>, Error> {
    Ok(None)
}
