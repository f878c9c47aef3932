//! WebSocket: the way in where a firewall lets nothing out but the web. Inside it is the same as over TCP, Noise and yamux, so
//! that neither a proxy nor whoever made the certificate reads anything.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use cosmic_common::address::Address;
use cosmic_runtime::config::Mistakes;
use libp2p::{
    PeerId, Transport as _,
    core::{muxing::StreamMuxerBox, transport::Boxed, upgrade::Version},
    dns,
    identity::Keypair,
    noise, tcp,
    websocket::{self, tls},
    yamux,
};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject as _},
};
use serde::{Deserialize, Serialize};

use crate::{address::host, error::Error};

mod renewing;

use renewing::Renewing;

/// Bytes of one message; a frame of Noise has 64 KiB at most.
const MESSAGE_MAX_BYTES: usize = 1 << 20;
/// Redirects that are followed when dialing: whoever answers for a supernode answers himself.
const REDIRECTS_MAX: u8 = 0;

/// What proves who listens for WebSockets, and whom to believe when dialing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebSocket {
    /// Where to listen for WebSockets, over TCP; unset: nowhere.
    pub listen: Option<SocketAddr>,
    /// The certificate chain, as PEM. Without it what is listened on is not encrypted for the web: a proxy has to do that.
    pub certificate: Option<PathBuf>,
    /// Its private key, as PEM.
    pub key: Option<PathBuf>,
    /// Certificates, as PEM, that are believed in besides those of the web: of an own authority.
    pub authorities: Option<PathBuf>,
}

impl WebSocket {
    /// Refuses what cannot work.
    pub fn check(&self, mistakes: &mut Mistakes) {
        if self.certificate.is_some() != self.key.is_some() {
            mistakes.refuse(
                "certificate",
                "needs its key beside it, and a key its certificate: set both or none",
            );
        }
        if self.certificate.is_some() && self.listen.is_none() {
            mistakes.refuse("listen", "must be set for a certificate to be of use; for example 0.0.0.0:443");
        }
    }

    /// The address to listen on.
    pub(crate) fn address(&self) -> Option<Address> {
        let listen = self.listen?;
        let web = if self.certificate.is_some() { "tls/ws" } else { "ws" };
        format!("{}/tcp/{}/{web}", host(listen.ip()), listen.port()).parse().ok()
    }

    fn tls(&self) -> Result<tls::Config, Error> {
        let mut tls = tls::Config::builder();
        if let Some(path) = &self.authorities {
            for certificate in certificates(path)? {
                tls.add_trust(&certificate).map_err(unusable(path))?;
            }
        }
        if let (Some(certificate), Some(path)) = (&self.certificate, &self.key) {
            let chain = certificates(certificate)?;
            let key = PrivateKeyDer::from_pem_file(path).map_err(unusable(path))?;
            let key = tls::PrivateKey::new(key.secret_der().to_vec());
            tls.server(key, chain).map_err(unusable(certificate))?;
        }
        Ok(tls.finish())
    }
}

fn certificates(path: &Path) -> Result<Vec<tls::Certificate>, Error> {
    let found = CertificateDer::pem_file_iter(path).map_err(unusable(path))?;
    let found = found.map(|one| one.map(|one| tls::Certificate::new(one.to_vec())));
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(unusable(path))?;
    if found.is_empty() { Err(unusable(path)(pem::Error::NoItemsFound)) } else { Ok(found) }
}

fn unusable<E: std::error::Error + Send + Sync + 'static>(path: &Path) -> impl FnOnce(E) -> Error {
    let path = path.to_owned();
    move |source| Error::Certificate { path, source: Error::shared(source) }
}

/// The transport. It resolves names itself: the name is what the certificate has to be for.
pub(crate) fn transport(
    keypair: &Keypair,
    config: &WebSocket,
    muxer: yamux::Config,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, Error> {
    let refuse = |cause| Error::Transport { transport: "WebSocket", source: cause };
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
    let named = dns::tokio::Transport::system(tcp).map_err(|cause| refuse(Error::shared(cause)))?;
    let mut web = websocket::Config::new(named);
    web.set_max_data_size(MESSAGE_MAX_BYTES).set_max_redirects(REDIRECTS_MAX).set_tls_config(config.tls()?);
    let noise = noise::Config::new(keypair).map_err(|cause| refuse(Error::shared(cause)))?;
    Ok(Renewing::new(web, config.clone())
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(muxer)
        .map(|(peer, muxer), _point| (peer, StreamMuxerBox::new(muxer)))
        .boxed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listened_on_has_tls_with_a_certificate_alone() {
        let listen = Some(([192, 0, 2, 7], 443).into());
        let behind_a_proxy = WebSocket { listen, ..WebSocket::default() };
        assert_eq!(behind_a_proxy.address().unwrap().as_str(), "/ip4/192.0.2.7/tcp/443/ws");
        let certificate = Some("web.crt".into());
        let itself = WebSocket { listen, certificate, ..WebSocket::default() };
        assert_eq!(itself.address().unwrap().as_str(), "/ip4/192.0.2.7/tcp/443/tls/ws");
        assert_eq!(WebSocket::default().address(), None);
    }

    #[test]
    fn a_file_without_a_certificate_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web.crt");
        std::fs::write(&path, "no certificate").unwrap();
        let config =
            WebSocket { certificate: Some(path.clone()), key: Some(path.clone()), ..WebSocket::default() };
        let refused = config.tls().unwrap_err().to_string();
        assert!(refused.contains("web.crt") && refused.contains("PEM"), "{refused}");
    }
}
