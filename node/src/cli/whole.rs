//! Commands about the node as a whole: status, doctor, peers, identity, network, export, cache.

use serde_json::{Value, json};

use super::{
    Command, NetworkState,
    client::{Client, Error},
    output::{Output, cell},
};

pub(crate) fn carry_out(command: Command, client: &Client, out: &Output) -> Result<(), Error> {
    match command {
        Command::Status => out.show(&client.get("status")?, |answer| format!("{answer:#}")),
        Command::Doctor => {
            let columns = [("CHECK", "check"), ("STATE", "state"), ("WHY, AND WHAT TO DO", "reason")];
            out.table(&client.get("doctor")?, "checks", &columns);
        }
        Command::Peers => {
            let columns = [("PEER", "peer"), ("ROLE", "role"), ("ADDRESS", "address")];
            out.table(&client.get("peers")?, "peers", &columns);
        }
        Command::Identity(_show) => {
            out.show(&client.get("identity")?, |answer| {
                format!("{}\n{}", cell(answer.get("peer")), cell(answer.get("did")))
            });
        }
        Command::Network { state } => {
            let online = matches!(state, NetworkState::Online);
            let answer = client.put("network", &json!({"online": online}))?;
            out.show(&answer, |_answer| if online { "online" } else { "offline" }.to_owned());
        }
        Command::Export { space, directory } => {
            let directory = std::path::absolute(&directory)
                .map_err(|source| Error::Write { path: directory.clone(), source })?;
            let answer = client.post("export", &json!({"space": space, "directory": directory}))?;
            out.show(&answer, |answer| {
                format!("{} documents, {} files", cell(answer.get("documents")), cell(answer.get("files")))
            });
        }
        Command::Cache(_clear) => {
            let answer = client.post("cache/clear", &json!({}))?;
            out.show(&answer, |answer| format!("{} bytes freed", cell(answer.get("freed_bytes"))));
        }
        // The rest is carried out without a running node, or by its own module.
        _ => out.show(&Value::Null, |_value| String::new()),
    }
    Ok(())
}
