//! The relay for browsers: a device asks for credentials, and whoever has them meets others through the supernode.

use std::{net::SocketAddr, process::Command, time::Duration};

use cosmic_common::{id::PeerId, time::Timestamp};
use cosmic_loadtest::{
    api::App,
    network::{self, Network},
    process::command_json,
};
use cosmic_supernode::home::Seen;
use cosmic_turn::{
    Issuer, address,
    attribute::{
        CHANNEL_NUMBER, DATA, ERROR_CODE, NONCE, REALM, REQUESTED_TRANSPORT, USERNAME, XOR_MAPPED_ADDRESS,
        XOR_PEER_ADDRESS, XOR_RELAYED_ADDRESS, method,
    },
    frame::{Frame, channel_data, frame_bytes},
    integrity::Key,
    message::{Class, Message, Transaction, Writer},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use super::{ground::Ground, look, notes::PATIENCE};

/// A relay on this machine, with one peer on it that may be sent to.
const SETTINGS: &str = "[turn]\nlisten = \"127.0.0.1:0\"\npeers = [\"127.0.0.3/32\"]\n";
/// How soon a datagram is sent again that was not answered.
const AGAIN: Duration = Duration::from_millis(500);

/// How a browser reaches the relay.
enum Way {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

/// What a browser does, as far as the relay sees it.
struct Browser {
    way: Way,
    relay: SocketAddr,
    username: String,
    password: String,
    realm: String,
    nonce: String,
    asked: u64,
}

impl Browser {
    async fn over_udp(relay: SocketAddr, (username, password): (&str, &str)) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(relay).await.unwrap();
        Self::new(Way::Udp(socket), relay, username, password)
    }

    async fn over_tcp(relay: SocketAddr, (username, password): (&str, &str)) -> Self {
        Self::new(Way::Tcp(TcpStream::connect(relay).await.unwrap()), relay, username, password)
    }

    fn new(way: Way, relay: SocketAddr, username: &str, password: &str) -> Self {
        let (username, password) = (username.to_owned(), password.to_owned());
        Self { way, relay, username, password, realm: String::new(), nonce: String::new(), asked: 0 }
    }

    fn transaction(&mut self) -> Transaction {
        self.asked += 1;
        let mut transaction = [0; 12];
        transaction[..8].copy_from_slice(&self.asked.to_be_bytes());
        Transaction(transaction)
    }

    async fn say(&mut self, bytes: &[u8]) {
        match &mut self.way {
            Way::Udp(socket) => drop(socket.send(bytes).await.unwrap()),
            Way::Tcp(stream) => stream.write_all(bytes).await.unwrap(),
        }
    }

    /// The next thing the relay says.
    async fn hear(&mut self) -> Vec<u8> {
        match &mut self.way {
            Way::Udp(socket) => {
                let mut buffer = vec![0; 65_536];
                let length = socket.recv(&mut buffer).await.unwrap();
                buffer.truncate(length);
                buffer
            }
            Way::Tcp(stream) => {
                let mut first = [0; 4];
                stream.read_exact(&mut first).await.unwrap();
                let mut bytes = first.to_vec();
                bytes.resize(frame_bytes(first).unwrap(), 0);
                stream.read_exact(&mut bytes[4..]).await.unwrap();
                bytes
            }
        }
    }

    /// Sends a request until it is answered.
    async fn exchange(&mut self, request: &[u8], transaction: Transaction) -> Vec<u8> {
        let answered = async {
            loop {
                self.say(request).await;
                let Ok(answer) = timeout(AGAIN, self.hear()).await else { continue };
                if Message::decode(&answer).is_ok_and(|message| message.transaction == transaction) {
                    return answer;
                }
            }
        };
        timeout(PATIENCE, answered).await.expect("the relay does not answer")
    }

    /// Asks with credentials; the number of the error if it is refused.
    async fn ask(
        &mut self,
        method: u16,
        peer: Option<SocketAddr>,
        more: &[(u16, Vec<u8>)],
    ) -> Result<Vec<u8>, u16> {
        loop {
            let transaction = self.transaction();
            let mut writer = Writer::new(Class::Request, method, transaction);
            if let Some(peer) = peer {
                writer = writer.with_address(XOR_PEER_ADDRESS, peer);
            }
            for (kind, value) in more {
                writer = writer.with(*kind, value);
            }
            let key =
                (!self.nonce.is_empty()).then(|| Key::long_term(&self.username, &self.realm, &self.password));
            if key.is_some() {
                writer = writer.with(USERNAME, self.username.as_bytes());
                writer = writer.with(REALM, self.realm.as_bytes()).with(NONCE, self.nonce.as_bytes());
            }
            let answer = self.exchange(&writer.finish(key.as_ref()), transaction).await;
            let message = Message::decode(&answer).unwrap();
            let Some(error) = message.get(ERROR_CODE) else {
                assert!(message.is_signed_with(&key.unwrap()), "an answer nobody signed");
                return Ok(answer);
            };
            let code = u16::from(error[2]) * 100 + u16::from(error[3]);
            if code != 401 || key.is_some() {
                return Err(code);
            }
            (self.realm, self.nonce) =
                (message.text(REALM).unwrap().to_owned(), message.text(NONCE).unwrap().to_owned());
        }
    }

    /// Where others reach this browser from now on.
    async fn allocate(&mut self) -> Result<SocketAddr, u16> {
        let answer = self.ask(method::ALLOCATE, None, &[(REQUESTED_TRANSPORT, vec![17, 0, 0, 0])]).await?;
        let message = Message::decode(&answer).unwrap();
        Ok(address::decode(message.get(XOR_RELAYED_ADDRESS).unwrap(), message.transaction).unwrap())
    }

    async fn permit(&mut self, peer: SocketAddr) -> Result<(), u16> {
        self.ask(method::CREATE_PERMISSION, Some(peer), &[]).await.map(drop)
    }

    async fn send(&mut self, peer: SocketAddr, data: &[u8]) {
        let writer = Writer::new(Class::Indication, method::SEND, self.transaction());
        let bytes = writer.with_address(XOR_PEER_ADDRESS, peer).with(DATA, data).finish_plain();
        self.say(&bytes).await;
    }

    /// Who sent what, of the next data that come.
    async fn receive(&mut self) -> (SocketAddr, Vec<u8>) {
        let bytes = timeout(PATIENCE, self.hear()).await.expect("nothing comes");
        let message = Message::decode(&bytes).unwrap();
        assert_eq!((message.class, message.method), (Class::Indication, method::DATA));
        let peer = address::decode(message.get(XOR_PEER_ADDRESS).unwrap(), message.transaction).unwrap();
        (peer, message.get(DATA).unwrap().to_vec())
    }
}

/// What the node tells an app: the servers, once its gateway has been reached.
async fn servers(app: &App, space: &str) -> Value {
    look::wait("credentials", async || {
        let answer = app.get(&format!("spaces/{space}/turn")).await.unwrap();
        (answer["note"].is_null()).then_some(answer)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_meet_through_a_supernode() {
    let directory = Ground::new();
    look::settings(directory.path(), 1, SETTINGS);
    let network = Network::start(directory.path(), 1, 1).await.unwrap();
    let node = network.start_node("ann", &[]).await.unwrap();
    let app = App::new(&node);
    let space = app.create_space("Calls").await.unwrap();
    let answer = servers(&app, &space).await;

    // The command line says the same, with a credential of the same device.
    let data_dir = directory.path().join("ann").to_string_lossy().into_owned();
    let told =
        command_json("cosmic-node", &["turn", &space, "--json", "--data-dir", &data_dir]).await.unwrap();
    assert_eq!(told["iceServers"][0], answer["iceServers"][0]);
    let server = &answer["iceServers"][1];
    let (username, password) = (server["username"].as_str().unwrap(), server["credential"].as_str().unwrap());
    assert_eq!(server["urls"].as_array().unwrap().len(), 2);
    let relay = answer["iceServers"][0]["urls"][0].as_str().unwrap().strip_prefix("stun:").unwrap();
    let relay: SocketAddr = relay.parse().unwrap();

    // Everybody learns his address.
    let mut ann = Browser::over_udp(relay, (username, password)).await;
    let transaction = ann.transaction();
    let question = Writer::new(Class::Request, method::BINDING, transaction).finish(None);
    let mapped = ann.exchange(&question, transaction).await;
    let mapped = Message::decode(&mapped).unwrap();
    let Way::Udp(socket) = &ann.way else { unreachable!() };
    let mapped = address::decode(mapped.get(XOR_MAPPED_ADDRESS).unwrap(), transaction);
    assert_eq!(mapped, Some(socket.local_addr().unwrap()));

    // One over UDP, one over TCP.
    let mut ben = Browser::over_tcp(ann.relay, (username, password)).await;
    let (at_ann, at_ben) = (ann.allocate().await.unwrap(), ben.allocate().await.unwrap());
    ann.permit(at_ben).await.unwrap();
    ben.permit(at_ann).await.unwrap();
    ann.send(at_ben, b"hello Ben").await;
    assert_eq!(ben.receive().await, (at_ann, b"hello Ben".to_vec()));
    ben.send(at_ann, b"hello Ann").await;
    assert_eq!(ann.receive().await, (at_ben, b"hello Ann".to_vec()));

    // A peer elsewhere, by a channel.
    let peer = UdpSocket::bind("127.0.0.3:0").await.unwrap();
    let at_peer = peer.local_addr().unwrap();
    let number = (CHANNEL_NUMBER, vec![0x40, 0x01, 0, 0]);
    ann.ask(method::CHANNEL_BIND, Some(at_peer), &[number]).await.unwrap();
    ann.say(&channel_data(0x4001, b"there", false)).await;
    let mut buffer = [0; 64];
    let (length, from) = timeout(PATIENCE, peer.recv_from(&mut buffer)).await.unwrap().unwrap();
    assert_eq!((&buffer[..length], from), (&b"there"[..], at_ann));
    peer.send_to(b"back", at_ann).await.unwrap();
    let back = timeout(PATIENCE, ann.hear()).await.unwrap();
    assert_eq!(Frame::decode(&back), Some(Frame::Channel(0x4001, b"back")));

    refusals(&mut ann, &network, directory.path(), username).await;

    // What two browsers of one relay say to each other is relayed for both.
    let supernode = network.supernodes[0].as_ref().unwrap();
    look::wait("the status", async || {
        let status = network::status(supernode).await?["turn"].clone();
        (status["allocations"] == 2 && status["relayed_bytes"] == 2 * (9 + 9) + 5 + 4).then_some(())
    })
    .await;
    third_party(relay, username, password);
    node.stop().await.unwrap();
    network.stop().await.unwrap();
}

/// What is not the device's, not valid any more, or leads into the network the relay stands in.
async fn refusals(ann: &mut Browser, network: &Network, directory: &std::path::Path, username: &str) {
    for closed in ["10.0.0.1:53", "127.0.0.2:53", "169.254.169.254:80"] {
        assert_eq!(ann.permit(closed.parse().unwrap()).await, Err(403), "{closed}");
    }
    let mut wrong = Browser::over_udp(ann.relay, (username, "guessed")).await;
    assert_eq!(wrong.allocate().await, Err(401));
    // The relay's own signature does not help a credential whose time is over.
    let key = Seen::read(&directory.join("supernode-0")).unwrap().key;
    assert_eq!(key.peer_id().to_string(), network.supernodes[0].as_ref().unwrap().run().peer);
    let issuer = Issuer::new(&key.seed());
    let past = issuer.issue(&PeerId::from_bytes([1; 32]), Timestamp::from_unix_ms(1_700_000_000_000));
    let mut late = Browser::over_udp(ann.relay, (&past.username, &past.password)).await;
    assert_eq!(late.allocate().await, Err(401));
    let future = issuer.issue(&PeerId::from_bytes([1; 32]), Timestamp::from_unix_ms(u64::MAX));
    let mut other = Browser::over_udp(ann.relay, (&future.username, &future.password)).await;
    other.allocate().await.unwrap();
    other.ask(method::REFRESH, None, &[(cosmic_turn::attribute::LIFETIME, vec![0; 4])]).await.unwrap();
}

/// coturn's own client sends through the relay and back to itself, where it is installed.
fn third_party(relay: SocketAddr, username: &str, password: &str) {
    let port = relay.port().to_string();
    let mut client = Command::new("turnutils_uclient");
    // -y: two clients for each; -c: no second port; -m and -n: so many clients and messages.
    client.args([
        "-y",
        "-c",
        "-m",
        "2",
        "-n",
        "10",
        "-u",
        username,
        "-w",
        password,
        "-p",
        &port,
        "127.0.0.1",
    ]);
    let Ok(output) = client.output() else {
        println!("turnutils_uclient (coturn) is not installed: its look at the relay is skipped");
        return;
    };
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("Total lost packets 0 "), "{told}");
}
