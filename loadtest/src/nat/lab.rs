//! Namespaces, wires, routers and processes of the laboratory; everything goes when it is dropped.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use clap::ValueEnum as _;
use serde_json::Value;

use super::Router;
use crate::process::{self, Error, Process};

const BOOTSTRAP: &str = "cosmic-bootstrap";
const SUPERNODE: &str = "cosmic-supernode";
const NODE: &str = "cosmic-node";
const PORT_GIVER: &str = "miniupnpd";
/// Where supernodes take WebSockets: all that the strictest firewalls let through.
const WEB_PORT: u16 = 443;
/// The public network. Of the internet, and none of those set aside for examples: routers give ports only at such an
/// address. The namespaces have no way out.
const PUBLIC: &str = "11.22.33";
/// As many as have to agree that a device is reached.
const SUPERNODES: usize = 3;
/// The port of devices, which the routers that let everybody in forward.
const DEVICE_PORT: u16 = 7420;
/// How long the supernodes may take to see each other.
const RING_PATIENCE: Duration = Duration::from_secs(30);

/// Why there can be no laboratory here, if there cannot.
#[must_use]
pub fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root may make network namespaces".to_owned());
    }
    if let Some(tool) = ["ip", "nft", "sysctl"].into_iter().find(|tool| !is_there(tool)) {
        return Some(format!("{tool} is missing (Debian: iproute2, nftables, procps)"));
    }
    // Kernels differ in what they can do with packets: every rule is tried.
    let built = Namespace::new("probe").and_then(|probe| {
        let made = tempfile::tempdir();
        let directory =
            made.map_err(|source| Error::Io { what: "cannot make a directory".to_owned(), source })?;
        let mut kinds = Router::value_variants().iter();
        kinds.try_for_each(|kind| {
            probe.rules(&rules(*kind, "192.168.1"), directory.path())?;
            probe.run("nft flush ruleset")
        })
    });
    built.err().map(|error| format!("the system allows no network namespaces with NAT: {error}"))
}

/// Whether a router can give ports here.
#[must_use]
pub fn gives_ports() -> bool {
    is_there(PORT_GIVER)
}

fn is_there(tool: &str) -> bool {
    let asked = Command::new(tool).arg("--version").output();
    !asked.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// The laboratory.
#[derive(Debug)]
pub(super) struct Lab {
    directory: PathBuf,
    public: Namespace,
    bootstrap: Process,
    supernodes: Vec<Process>,
}

/// One device's place, with the routers before it.
#[derive(Debug)]
pub(super) struct Side {
    host: Namespace,
    _router: Option<Daemon>,
    _routers: Vec<Namespace>,
    /// The interface of the device, its network, and its number in it.
    interface: &'static str,
    network: String,
    number: u8,
}

/// A process that is no part of CosmicSync; it goes with what it serves.
#[derive(Debug)]
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let killed = self.0.kill().and_then(|()| self.0.wait());
        if let Err(source) = killed {
            say_what_is_left(&Error::Io { what: "cannot end a router".to_owned(), source });
        }
    }
}

/// A network namespace, which goes with its interfaces when it is dropped.
#[derive(Debug)]
struct Namespace(String);

impl Namespace {
    fn new(name: &str) -> Result<Self, Error> {
        let namespace = Self(format!("cosmic{}-{name}", std::process::id()));
        shell(&format!("ip netns add {namespace}", namespace = namespace.0))?;
        namespace.run("ip link set lo up")?;
        Ok(namespace)
    }

    /// Runs commands in it, one on a line.
    fn run(&self, commands: &str) -> Result<(), Error> {
        for command in commands.lines().map(str::trim).filter(|line| !line.is_empty()) {
            shell(&format!("ip netns exec {} {command}", self.0))?;
        }
        Ok(())
    }

    fn rules(&self, rules: &str, directory: &Path) -> Result<(), Error> {
        let file = directory.join(format!("{}.nft", self.0));
        let failed = |source| Error::Io { what: format!("cannot write {}", file.display()), source };
        fs::write(&file, rules).map_err(failed)?;
        self.run(&format!("nft -f {}", file.display()))
    }

    fn prefix(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.0]
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = shell(&format!("ip netns del {}", self.0)) {
            say_what_is_left(&error);
        }
    }
}

#[expect(clippy::print_stderr, reason = "there is nobody else to tell when something is dropped")]
fn say_what_is_left(error: &Error) {
    eprintln!("something of the laboratory is left behind: {error}");
}

fn shell(line: &str) -> Result<(), Error> {
    let mut words = line.split_whitespace();
    let output = Command::new(words.next().unwrap_or_default())
        .args(words)
        .output()
        .map_err(|source| Error::Io { what: format!("cannot run: {line}"), source })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Ended { name: line.to_owned(), status: output.status.to_string(), output: said })
}

/// A wire between two namespaces.
fn wire(one: (&Namespace, &str), other: (&Namespace, &str)) -> Result<(), Error> {
    let ((here, name), (there, other_name)) = (one, other);
    shell(&format!(
        "ip link add {name} netns {} type veth peer name {other_name} netns {}",
        here.0, there.0
    ))?;
    here.run(&format!("ip link set {name} up"))?;
    there.run(&format!("ip link set {other_name} up"))
}

impl Lab {
    /// Builds the public part: bootstrap node and supernodes, each at an address of its own.
    ///
    /// # Errors
    /// [`Error`] if something cannot be made or started.
    pub(super) async fn build(directory: &Path) -> Result<Self, Error> {
        let public = Namespace::new("public")?;
        public.run("ip link add br0 type bridge\nip link set br0 up")?;
        for number in 0..=SUPERNODES {
            public.run(&format!("ip addr add {PUBLIC}.{}/24 dev br0", number + 1))?;
        }
        let path = |name: &str| directory.join(name).to_string_lossy().into_owned();
        let door = path("bootstrap");
        process::command(BOOTSTRAP, &["network", "create", "--data-dir", &door], None).await?;
        let mut operators = Vec::new();
        for number in 0..SUPERNODES {
            let key = path(&format!("operator-{number}.key"));
            let made =
                process::command_json(SUPERNODE, &["operator", "create", "--key", &key, "--json"]).await?;
            operators.push(super::text(&made, "operator"));
        }
        let mut admit = vec!["network", "admit", "--data-dir", &door];
        admit.extend(operators.iter().map(String::as_str));
        process::command(BOOTSTRAP, &admit, None).await?;
        let (listen, web) = (format!("{PUBLIC}.1:7400"), web_listen(1));
        let listen = ["--listen", &listen, "--http", "127.0.0.1:0", "--set", &web];
        let bootstrap =
            Process::start_through(&public.prefix(), BOOTSTRAP, Path::new(&door), &listen).await?;
        let shown =
            process::command(BOOTSTRAP, &["network", "show", "--data-dir", &door, "--json"], None).await?;
        let file = directory.join("network.json");
        fs::write(&file, shown)
            .map_err(|source| Error::Io { what: "cannot write network.json".to_owned(), source })?;
        let mut lab = Self { directory: directory.to_owned(), public, bootstrap, supernodes: Vec::new() };
        for number in 0..SUPERNODES {
            lab.sign(number).await?;
            let supernode = lab.start_supernode(number).await?;
            lab.supernodes.push(supernode);
        }
        lab.wait_for_ring().await?;
        Ok(lab)
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).to_string_lossy().into_owned()
    }

    async fn sign(&self, number: usize) -> Result<(), Error> {
        let home = self.path(&format!("supernode-{number}"));
        let (network, key) = (self.path("network.json"), self.path(&format!("operator-{number}.key")));
        let init = ["init", "--data-dir", &home, "--network", &network];
        process::command(SUPERNODE, &init, None).await?;
        let zone = format!("zone-{number}");
        let sign = [
            "operator",
            "sign",
            "--key",
            &key,
            "--data-dir",
            &home,
            "--zone",
            &zone,
            "--region",
            "laboratory",
        ];
        process::command(SUPERNODE, &sign, None).await.map(drop)
    }

    async fn start_supernode(&self, number: usize) -> Result<Process, Error> {
        let listen = format!("{PUBLIC}.{}:7410", number + 2);
        let web = web_listen(number + 2);
        let arguments = ["--listen", &listen, "--http", "127.0.0.1:0", "--set", &web];
        let home = self.path(&format!("supernode-{number}"));
        Process::start_through(&self.public.prefix(), SUPERNODE, Path::new(&home), &arguments).await
    }

    async fn wait_for_ring(&self) -> Result<(), Error> {
        for supernode in &self.supernodes {
            let home = supernode.directory().to_string_lossy().into_owned();
            let complete = async {
                loop {
                    let asked = ["status", "--data-dir", &home, "--json"];
                    let told =
                        process::command_through(&self.public.prefix(), SUPERNODE, &asked, None).await?;
                    let status: Value = serde_json::from_str(&told).unwrap_or_default();
                    let members = status.pointer("/ring/members").and_then(Value::as_u64);
                    if members == Some(SUPERNODES as u64) {
                        return Ok(());
                    }
                    tokio::time::sleep(super::POLL).await;
                }
            };
            match tokio::time::timeout(RING_PATIENCE, complete).await {
                Ok(told) => told?,
                Err(_late) => {
                    return Err(Error::TooSlow {
                        name: home.clone(),
                        what: "in the ring with all others",
                        seconds: RING_PATIENCE.as_secs(),
                        output: supernode.log_tail(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Kills every supernode and starts it again.
    ///
    /// # Errors
    /// [`Error`] if one does not come back.
    pub(super) async fn restart_supernodes(&mut self) -> Result<(), Error> {
        for supernode in std::mem::take(&mut self.supernodes) {
            supernode.kill().await?;
        }
        for number in 0..SUPERNODES {
            let supernode = self.start_supernode(number).await?;
            self.supernodes.push(supernode);
        }
        Ok(())
    }

    /// The place of device `number`, 1 or 2, behind `router`. What was there before goes a little later than it is dropped, so
    /// that every case has names of its own.
    ///
    /// # Errors
    /// [`Error`] if something cannot be made.
    pub(super) fn side(&self, case: usize, number: u8, router: Router) -> Result<Side, Error> {
        let place = format!("{case}-{number}");
        let host = Namespace::new(&format!("host-{place}"))?;
        if router == Router::Open {
            let (network, number) = (PUBLIC.to_owned(), 20 + number);
            self.plug(&host, &place, &format!("{network}.{number}"))?;
            return Ok(Side { host, _router: None, _routers: Vec::new(), interface: "wan", network, number });
        }
        let outer = Namespace::new(&format!("router-{place}"))?;
        self.plug(&outer, &place, &format!("{PUBLIC}.{}", 10 + number))?;
        let network = format!("192.168.{number}");
        if router == Router::Double {
            let inner = Namespace::new(&format!("inner-{place}"))?;
            let between = format!("10.0.{number}");
            self.connect(&outer, &inner, &between, "wan", router)?;
            self.connect(&inner, &host, &network, "eth0", router)?;
            let _routers = vec![outer, inner];
            return Ok(Side { host, _router: None, _routers, interface: "eth0", network, number: 2 });
        }
        self.connect(&outer, &host, &network, "eth0", router)?;
        let _router = match router {
            Router::Upnp => Some(self.give_ports(&outer, &network)?),
            _ => None,
        };
        Ok(Side { host, _router, _routers: vec![outer], interface: "eth0", network, number: 2 })
    }

    /// Plugs a namespace into the public network.
    fn plug(&self, namespace: &Namespace, place: &str, address: &str) -> Result<(), Error> {
        let port = format!("port-{place}");
        wire((&self.public, &port), (namespace, "wan"))?;
        self.public.run(&format!("ip link set {port} master br0"))?;
        namespace.run(&format!("ip addr add {address}/24 dev wan"))
    }

    /// Puts `inside` behind `router`, which is plugged in by its interface `wan` already.
    fn connect(
        &self,
        router: &Namespace,
        inside: &Namespace,
        network: &str,
        interface: &str,
        kind: Router,
    ) -> Result<(), Error> {
        wire((router, "lan"), (inside, interface))?;
        router.run(&format!("ip addr add {network}.1/24 dev lan\nsysctl -qw net.ipv4.ip_forward=1"))?;
        inside.run(&format!(
            "ip addr add {network}.2/24 dev {interface}\nip route add default via {network}.1"
        ))?;
        router.rules(&rules(kind, network), &self.directory)
    }

    /// Has a router give ports to whoever of `network` asks for them (UPnP, by miniupnpd).
    fn give_ports(&self, router: &Namespace, network: &str) -> Result<Daemon, Error> {
        let file = self.directory.join(format!("{}.conf", router.0));
        let failed = |source| Error::Io { what: format!("cannot write {}", file.display()), source };
        fs::write(&file, port_giver(network)).map_err(failed)?;
        let (file, pid) = (file.display().to_string(), self.path(&format!("{}.pid", router.0)));
        let log = File::create(self.path(&format!("{}.log", router.0)));
        let log =
            log.map_err(|source| Error::Io { what: "cannot write the log of a router".to_owned(), source })?;
        let [program, arguments @ ..] = router.prefix();
        let started = Command::new(program)
            .args(arguments)
            .args([PORT_GIVER, "-d", "-f", &file, "-P", &pid])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        started.map(Daemon).map_err(|source| Error::Io { what: format!("cannot run {PORT_GIVER}"), source })
    }

    /// Starts a node at `side`.
    ///
    /// # Errors
    /// [`Error`] if it does not get ready.
    pub(super) async fn start_node(&self, side: &Side, name: &str) -> Result<Process, Error> {
        let (network, listen) = (self.path("network.json"), format!("0.0.0.0:{DEVICE_PORT}"));
        let arguments = ["--network", &network, "--listen", &listen, "--http", "127.0.0.1:0"];
        Process::start_through(&side.host.prefix(), NODE, Path::new(&self.path(name)), &arguments).await
    }

    /// What a command of the node at `side` says.
    ///
    /// # Errors
    /// [`Error`] if it fails.
    pub(super) async fn json(
        &self,
        side: &Side,
        node: &Process,
        arguments: &[&str],
        input: Option<&str>,
    ) -> Result<Value, Error> {
        let home = node.directory().to_string_lossy().into_owned();
        let all = [arguments, &["--data-dir", &home, "--json"]].concat();
        let output = process::command_through(&side.host.prefix(), NODE, &all, input).await?;
        serde_json::from_str(&output).map_err(|source| Error::Output { name: all.join(" "), output, source })
    }

    /// Gives the device another address, and takes away the one it had.
    ///
    /// # Errors
    /// [`Error`] if the system refuses.
    pub(super) fn move_device(&self, side: &Side) -> Result<(), Error> {
        let Side { host, network, number, interface, .. } = side;
        host.run(&format!(
            "ip addr del {network}.{number}/24 dev {interface}\nip addr add {network}.{}/24 dev {interface}",
            number + 10
        ))?;
        match *interface {
            "wan" => Ok(()),
            _ => host.run(&format!("ip route replace default via {network}.1")),
        }
    }

    /// Stops everything.
    ///
    /// # Errors
    /// [`Error`] if a process does not stop in time.
    pub(super) async fn stop(self) -> Result<(), Error> {
        for supernode in self.supernodes {
            supernode.stop().await?;
        }
        self.bootstrap.stop().await.map(drop)
    }
}

/// The settings of a router's miniupnpd: it writes into chains that `rules` has made.
fn port_giver(network: &str) -> String {
    format!(
        "ext_ifname=wan\nlistening_ip=lan\nhttp_port=0\nenable_natpmp=no\nenable_upnp=yes\nsecure_mode=yes\n\
         upnp_table_name=ports\nupnp_nat_table_name=ports\nupnp_forward_chain=miniupnpd\n\
         upnp_nat_chain=prerouting_miniupnpd\nupnp_nat_postrouting_chain=postrouting_miniupnpd\n\
         uuid=00000000-0000-4000-8000-000000000001\n\
         allow 1024-65535 {network}.0/24 1024-65535\ndeny 0-65535 0.0.0.0/0 0-65535\n"
    )
}

/// The setting that has the process at this public address listen where the web does.
fn web_listen(host: usize) -> String {
    format!("websocket.listen={PUBLIC}.{host}:{WEB_PORT}")
}

/// The chains into which miniupnpd writes.
const PORTS: &str = "table inet ports {
    chain miniupnpd { }
    chain prerouting_miniupnpd { }
    chain postrouting_miniupnpd { }
    chain prerouting {
        type nat hook prerouting priority dstnat
        jump prerouting_miniupnpd
    }
}
";

/// What a router does with packets from `network`.
fn rules(kind: Router, network: &str) -> String {
    let random = if matches!(kind, Router::Symmetric | Router::Upnp) { " fully-random" } else { "" };
    let forward = |condition: &str| {
        format!(
            "iifname wan {condition} udp dport {DEVICE_PORT} dnat to {network}.2\n\
             iifname wan {condition} tcp dport {DEVICE_PORT} dnat to {network}.2"
        )
    };
    let inward = match kind {
        Router::Independent => forward(""),
        Router::Restricted => forward("ip saddr @contacted"),
        _ => String::new(),
    };
    let note = if kind == Router::Restricted { "iifname lan update @contacted { ip daddr }" } else { "" };
    let block = match kind {
        Router::UdpBlocked => "meta l4proto udp drop".to_owned(),
        Router::WebOnly => format!("iifname lan tcp dport != {WEB_PORT} drop\nmeta l4proto udp drop"),
        _ => String::new(),
    };
    let ports = if kind == Router::Upnp { PORTS } else { "" };
    format!(
        "{ports}table ip router {{
            set contacted {{ type ipv4_addr; flags dynamic; timeout 5m; }}
            chain outward {{
                type nat hook postrouting priority srcnat
                oifname wan masquerade{random}
            }}
            chain inward {{
                type nat hook prerouting priority dstnat
                {inward}
            }}
            chain input {{
                type filter hook input priority filter
                iifname lan accept
                iifname lo accept
                ct state established,related accept
                drop
            }}
            chain forward {{
                type filter hook forward priority filter
                {block}
                {note}
                iifname lan accept
                ct state established,related accept
                ct status dnat accept
                drop
            }}
        }}\n"
    )
}
