//! The NAT laboratory: two devices behind routers of every kind, in network namespaces of this machine, with real binaries.
//!
//! ```text
//!                  public: one network, out of which there is no way
//!   ┌───────────────┬──────────────────────────────┬───────────────┐
//! bootstrap    three supernodes                 router a        router b
//!                                                  │               │
//!                                               device a        device b
//! ```

use std::{fmt, path::Path, time::Duration};

use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::process::{Error, Process};

mod lab;

use lab::Lab;
pub use lab::{gives_ports, missing};

/// How long two devices may take to connect, and to find the direct way.
const CONNECT_PATIENCE: Duration = Duration::from_secs(30);
const DIRECT_PATIENCE: Duration = Duration::from_secs(12);
/// How often the devices are asked.
const POLL: Duration = Duration::from_millis(50);

/// What stands between a device and the others. The names are those of RFC 4787 and its forerunner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Router {
    /// Nothing.
    Open,
    /// Everybody may send to the port that the device uses (full cone).
    Independent,
    /// Whoever the device has sent to may answer from any port (address-restricted).
    Restricted,
    /// Only the port that the device has sent to may answer (port-restricted, what Linux does).
    PortRestricted,
    /// Every destination sees another port (symmetric).
    Symmetric,
    /// Two routers, one behind the other, port-restricted both.
    Double,
    /// Port-restricted, and no UDP passes.
    UdpBlocked,
    /// Port-restricted, and nothing passes but TCP to port 443.
    WebOnly,
    /// Symmetric, and gives a port to whoever asks for one (UPnP).
    Upnp,
}

/// What happens to the devices when they are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// Nothing.
    None,
    /// Every supernode is killed and started again.
    RelaysRestarted,
    /// Device b gets another address, and loses the one it had.
    AddressChanged,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Case {
    /// Before device a, which invites.
    pub a: Router,
    /// Before device b, which joins.
    pub b: Router,
    /// What happens then.
    pub trouble: Trouble,
}

/// What became of it.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The row.
    #[serde(flatten)]
    pub case: Case,
    /// Seconds from joining until the devices were connected to each other.
    pub connected_s: Option<f64>,
    /// Seconds from then until they were connected directly.
    pub direct_s: Option<f64>,
    /// What carries the path in the end.
    pub transport: Option<String>,
    /// Seconds from the trouble until they were connected again.
    pub again_s: Option<f64>,
}

impl Router {
    /// Every kind that is paired with every other.
    pub const ALL: [Self; 7] = [
        Self::Open,
        Self::Independent,
        Self::Restricted,
        Self::PortRestricted,
        Self::Symmetric,
        Self::Double,
        Self::UdpBlocked,
    ];
}

impl Case {
    /// Whether the routers allow a direct way: a hole cannot be punched where one side sends from a port that nobody
    /// knows, and the other lets only known ports in.
    #[must_use]
    pub fn allows_direct(self) -> bool {
        use Router::{Double, PortRestricted, Symmetric, UdpBlocked, WebOnly};
        let hides = |router| router == Symmetric;
        let minds = |router| matches!(router, PortRestricted | Double | Symmetric | UdpBlocked);
        // Without UDP, both sides would have to send at the same moment; that is luck, not a promise.
        let is_luck = |one, other| one == UdpBlocked && minds(other);
        let blocked = (hides(self.a) && minds(self.b)) || (hides(self.b) && minds(self.a));
        let is_web = self.a == WebOnly || self.b == WebOnly;
        !blocked && !is_web && !is_luck(self.a, self.b) && !is_luck(self.b, self.a)
    }

    /// All pairs, and every trouble for pairs that differ in how they connect.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let pairs = Router::ALL
            .into_iter()
            .flat_map(|a| Router::ALL.into_iter().map(move |b| Self { a, b, trouble: Trouble::None }));
        let troubled = [Trouble::RelaysRestarted, Trouble::AddressChanged].into_iter().flat_map(|trouble| {
            [Router::Open, Router::PortRestricted, Router::Symmetric, Router::UdpBlocked].map(|b| Self {
                a: Router::PortRestricted,
                b,
                trouble,
            })
        });
        pairs.chain(Self::special()).chain(troubled).filter(|case| case.is_possible()).collect()
    }

    /// What one side needs is done by the router, or not to be had at all but through a relay.
    fn special() -> impl Iterator<Item = Self> {
        use Router::{Open, PortRestricted, Symmetric, Upnp, WebOnly};
        let pairs =
            [(Upnp, Symmetric), (Upnp, Upnp), (WebOnly, Open), (WebOnly, PortRestricted), (WebOnly, WebOnly)];
        pairs.into_iter().map(|(a, b)| Self { a, b, trouble: Trouble::None })
    }

    /// Whether this machine has what the routers are made of.
    fn is_possible(&self) -> bool {
        (self.a != Router::Upnp && self.b != Router::Upnp) || gives_ports()
    }

    /// Some that between them have every router and every trouble.
    #[must_use]
    pub fn chosen() -> Vec<Self> {
        use Router::{
            Double, Independent, Open, PortRestricted, Restricted, Symmetric, UdpBlocked, Upnp, WebOnly,
        };
        let pairs = [
            (Open, Open),
            (Open, PortRestricted),
            (PortRestricted, Open),
            (Independent, Symmetric),
            (Restricted, PortRestricted),
            (PortRestricted, PortRestricted),
            (Double, PortRestricted),
            (Symmetric, Symmetric),
            (UdpBlocked, Open),
            (UdpBlocked, UdpBlocked),
            (WebOnly, PortRestricted),
            (Upnp, Symmetric),
        ];
        let calm = pairs.map(|(a, b)| Self { a, b, trouble: Trouble::None });
        let troubled = [Trouble::RelaysRestarted, Trouble::AddressChanged];
        let troubled = troubled.map(|trouble| Self { a: PortRestricted, b: Symmetric, trouble });
        calm.into_iter().chain(troubled).filter(Self::is_possible).collect()
    }
}

/// Runs `cases` one after the other, with `told` after each.
///
/// # Errors
/// [`Error`] if the laboratory cannot be built or a process fails; what devices do not manage is an outcome.
pub async fn run(
    directory: &Path,
    cases: &[Case],
    mut told: impl FnMut(&Outcome),
) -> Result<Vec<Outcome>, Error> {
    let mut lab = Lab::build(directory).await?;
    let mut outcomes = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let outcome = one(&mut lab, number, *case).await?;
        told(&outcome);
        outcomes.push(outcome);
    }
    lab.stop().await?;
    Ok(outcomes)
}

async fn one(lab: &mut Lab, number: usize, case: Case) -> Result<Outcome, Error> {
    let (a, b) = (lab.side(number, 1, case.a)?, lab.side(number, 2, case.b)?);
    let inviter = lab.start_node(&a, &format!("case-{number}-a")).await?;
    let joiner = lab.start_node(&b, &format!("case-{number}-b")).await?;
    let space = lab.json(&a, &inviter, &["space", "create", "Laboratory"], None).await?;
    let space = text(&space, "space");
    let ticket = lab.json(&a, &inviter, &["space", "invite", &space, "--role", "editor"], None).await?;
    let began = now();
    lab.json(&b, &joiner, &["space", "join"], Some(&text(&ticket, "ticket"))).await?;
    let mut outcome = Outcome { case, connected_s: None, direct_s: None, transport: None, again_s: None };
    let devices = Pair { lab, a: (&a, &inviter), b: (&b, &joiner) };
    outcome.connected_s = devices.wait(CONNECT_PATIENCE, |path| path.is_some()).await?.map(|_| since(began));
    if outcome.connected_s.is_some() {
        let connected = now();
        let direct = |path: Option<&Value>| path.is_some_and(|path| text(path, "path") == "direct");
        outcome.direct_s = devices.wait(DIRECT_PATIENCE, direct).await?.map(|_| since(connected));
        outcome.transport = devices.path().await?.map(|path| text(&path, "transport"));
    }
    if case.trouble != Trouble::None {
        match case.trouble {
            Trouble::RelaysRestarted => lab.restart_supernodes().await?,
            Trouble::AddressChanged => lab.move_device(&b)?,
            Trouble::None => {}
        }
        outcome.again_s = Pair { lab, a: (&a, &inviter), b: (&b, &joiner) }.again(&space).await?;
    }
    inviter.stop().await?;
    joiner.stop().await?;
    Ok(outcome)
}

struct Pair<'a> {
    lab: &'a Lab,
    a: (&'a lab::Side, &'a Process),
    b: (&'a lab::Side, &'a Process),
}

impl Pair<'_> {
    /// The way from b to a that is used now, if both sides have one.
    async fn path(&self) -> Result<Option<Value>, Error> {
        let there = self.see(self.a, self.b).await?;
        let here = self.see(self.b, self.a).await?;
        Ok(there.and(here))
    }

    /// Seconds until something that a writes now has come to b, and the two are connected.
    async fn again(&self, space: &str) -> Result<Option<f64>, Error> {
        let began = now();
        let (document, content) = (["doc", "put", space, "notes", "after"], r#"{"seen": true}"#);
        self.lab.json(self.a.0, self.a.1, &document, Some(content)).await?;
        let get = ["doc", "get", space, "notes", "after"];
        while self.lab.json(self.b.0, self.b.1, &get, None).await.is_err() {
            if began.elapsed() >= CONNECT_PATIENCE {
                return Ok(None);
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(self.wait(CONNECT_PATIENCE, |path| path.is_some()).await?.map(|_| since(began)))
    }

    async fn see(
        &self,
        from: (&lab::Side, &Process),
        to: (&lab::Side, &Process),
    ) -> Result<Option<Value>, Error> {
        let peers = self.lab.json(from.0, from.1, &["peers"], None).await?;
        let peers = peers.get("peers").and_then(Value::as_array).cloned().unwrap_or_default();
        Ok(peers.into_iter().find(|peer| text(peer, "peer") == to.1.run().peer))
    }

    async fn wait(
        &self,
        patience: Duration,
        wanted: impl Fn(Option<&Value>) -> bool,
    ) -> Result<Option<Value>, Error> {
        let until = now() + patience;
        loop {
            let path = self.path().await?;
            if wanted(path.as_ref()) {
                return Ok(path);
            }
            if now() >= until {
                return Ok(None);
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the laboratory measures real time")]
fn now() -> Instant {
    Instant::now()
}

fn since(began: Instant) -> f64 {
    (began.elapsed().as_secs_f64() * 10.0).round() / 10.0
}

fn text(value: &Value, field: &str) -> String {
    value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The outcomes as a table of Markdown, as it stands in `docs/networking.md`.
#[must_use]
pub fn table(outcomes: &[Outcome]) -> String {
    let mut table = String::from(
        "| device a | device b | then | connected after | direct after | over | again after |\n|---|---|---|---|---|---|---|\n",
    );
    for outcome in outcomes {
        table += &format!("{outcome}\n");
    }
    table
}

/// The outcomes for programs.
#[must_use]
pub fn figures(outcomes: &[Outcome]) -> Value {
    let connected = outcomes.iter().filter(|outcome| outcome.connected_s.is_some()).count();
    let allowed: Vec<_> = outcomes.iter().filter(|outcome| outcome.case.allows_direct()).collect();
    let direct = allowed.iter().filter(|outcome| outcome.direct_s.is_some()).count();
    json!({
        "cases": outcomes.len(), "connected": connected, "allow_direct": allowed.len(), "direct": direct,
        "outcomes": outcomes,
    })
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |value: Option<f64>, without: &str| {
            value.map_or_else(|| without.to_owned(), |seconds| format!("{seconds:.1} s"))
        };
        let without = if self.case.allows_direct() { "**not**" } else { "–" };
        write!(
            f,
            "| {} | {} | {} | {} | {} | {} | {} |",
            name(self.case.a),
            name(self.case.b),
            name(self.case.trouble),
            seconds(self.connected_s, "**never**"),
            seconds(self.direct_s, without),
            self.transport.as_deref().unwrap_or("–"),
            seconds(self.again_s, if self.case.trouble == Trouble::None { "" } else { "**never**" }),
        )
    }
}

fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().replace("none", "")).unwrap_or_default()
}
