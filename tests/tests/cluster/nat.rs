//! Devices behind routers reach each other: a dozen pairs of the NAT laboratory (all of them: `make nat ARGS=--all`).

use cosmic_loadtest::nat::{self, Case};

use super::ground::Ground;

#[tokio::test(flavor = "multi_thread")]
async fn every_pair_of_devices_connects_and_directly_where_the_routers_allow_it() {
    if let Some(reason) = nat::missing() {
        println!("skipped: {reason}");
        return;
    }
    let directory = Ground::new();
    let outcomes =
        nat::run(directory.path(), &Case::chosen(), |outcome| println!("{outcome}")).await.unwrap();
    for outcome in &outcomes {
        assert!(outcome.connected_s.is_some(), "never connected: {outcome}");
        assert!(outcome.direct_s.is_some() || !outcome.case.allows_direct(), "not direct: {outcome}");
        assert!(outcome.again_s.is_some() || outcome.case.trouble == nat::Trouble::None, "lost: {outcome}");
    }
}
