//! Who is at the other end: TLS 1.3 with libp2p's self-signed certificates, and AES first.
//!
//! The certificates are those of `libp2p-tls`, but its configurations offer ChaCha20-Poly1305 first, which costs a
//! third more CPU per byte than AES-128-GCM where the processor has AES (`docs/decisions/0007-bulk-plane.md`).

use std::sync::Arc;

use cosmic_common::id::PeerId;
use libp2p::{
    identity::Keypair,
    tls::certificate::{self, P2pCertificate},
};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error as TlsError, OtherError,
    PeerIncompatible, ServerConfig, SignatureScheme, SupportedCipherSuite,
    client::{
        ResolvesClientCert, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{
        CryptoProvider,
        aws_lc_rs::{
            cipher_suite::{
                TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
            },
            default_provider,
        },
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        ResolvesServerCert,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::{CertifiedKey, SingleCertAndKey},
    version::TLS13,
};

use crate::{address::to_peer, error::Error};

/// What both sides must mean when they meet on the port.
const ALPN: &[u8] = b"cosmic-bulk/1";
/// A certificate names a peer, not a host: whatever stands here is not sent.
pub(super) const SERVER_NAME: &str = "peer.invalid";

/// The certificate of this process and what its handshakes are made with.
pub(super) struct Tls {
    provider: Arc<CryptoProvider>,
    shown: Arc<SingleCertAndKey>,
}

impl Tls {
    /// A fresh certificate, signed by the device key.
    pub(super) fn new(identity: &Keypair) -> Result<Self, Error> {
        let (certificate, key) =
            certificate::generate(identity).map_err(|cause| Error::Identity(Error::shared(cause)))?;
        let provider = CryptoProvider { cipher_suites: suites().to_vec(), ..default_provider() };
        let key = provider.key_provider.load_private_key(key).map_err(unusable)?;
        let shown = Arc::new(SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key)));
        Ok(Self { provider: Arc::new(provider), shown })
    }

    /// For dialing `peer`; anybody else at the address fails the handshake.
    pub(super) fn client(&self, peer: PeerId) -> Result<QuicClientConfig, Error> {
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier { meant: Some(peer) }))
            .with_client_cert_resolver(Arc::clone(&self.shown) as Arc<dyn ResolvesClientCert>);
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.enable_sni = false;
        // Resuming would skip the certificate, which is all that says who is there.
        config.resumption = Resumption::disabled();
        QuicClientConfig::try_from(config).map_err(unusable)
    }

    /// For those who dial this process.
    pub(super) fn server(&self) -> Result<QuicServerConfig, Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .with_client_cert_verifier(Arc::new(Verifier { meant: None }))
            .with_cert_resolver(Arc::clone(&self.shown) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.send_tls13_tickets = 0;
        QuicServerConfig::try_from(config).map_err(unusable)
    }
}

/// The peer at the other end of a connection whose handshake is done.
pub(super) fn peer_of(connection: &quinn::Connection) -> Option<PeerId> {
    let chain = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    to_peer(&certificate::parse(chain.first()?).ok()?.peer_id())
}

/// AES where the processor has instructions for it; else ChaCha20-Poly1305 is several times faster.
fn suites() -> [SupportedCipherSuite; 3] {
    if has_aes() {
        [TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256]
    } else {
        [TLS13_CHACHA20_POLY1305_SHA256, TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384]
    }
}

fn has_aes() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

fn unusable(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Transport { transport: "bulk", source: Error::shared(cause) }
}

/// Accepts one libp2p certificate of an Ed25519 key, and when dialing only that of the peer that was meant.
#[derive(Debug)]
struct Verifier {
    meant: Option<PeerId>,
}

impl Verifier {
    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
    ) -> Result<(), TlsError> {
        if !intermediates.is_empty() {
            return Err(TlsError::InvalidCertificate(CertificateError::BadEncoding));
        }
        let found = to_peer(&parse(certificate)?.peer_id());
        if found.is_none() || self.meant.is_some_and(|meant| found != Some(meant)) {
            return Err(TlsError::InvalidCertificate(CertificateError::ApplicationVerificationFailure));
        }
        Ok(())
    }
}

fn parse<'a>(certificate: &'a CertificateDer<'a>) -> Result<P2pCertificate<'a>, TlsError> {
    certificate::parse(certificate).map_err(|cause| other(cause.into()))
}

fn other(cause: Box<dyn std::error::Error + Send + Sync>) -> TlsError {
    TlsError::InvalidCertificate(CertificateError::Other(OtherError(cause.into())))
}

fn verify_signature(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, TlsError> {
    let verified = parse(certificate)?.verify_signature(signed.scheme, message, signed.signature());
    verified.map(|()| HandshakeSignatureValid::assertion()).map_err(|cause| other(cause.into()))
}

/// Only TLS 1.3 is configured, so nobody asks for this.
fn no_tls12() -> Result<HandshakeSignatureValid, TlsError> {
    Err(TlsError::PeerIncompatible(PeerIncompatible::Tls13RequiredForQuic))
}

/// What `libp2p-tls` certificates may be signed with, as its specification lists it.
fn schemes() -> Vec<SignatureScheme> {
    vec![
        SignatureScheme::ECDSA_NISTP256_SHA256,
        SignatureScheme::ECDSA_NISTP384_SHA384,
        SignatureScheme::ED25519,
    ]
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        self.verify(certificate, intermediates).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        self.verify(certificate, intermediates).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}
