//! The server's end of `/cosmic/directory/1`: one question, answered by the actor.

use std::time::Duration;

use tokio::sync::mpsc;

use super::{
    message::{Answer, QUESTION_MAX_BYTES, Question},
    walk::named,
};
use crate::{
    address::from_multiaddr,
    command::{Command, ask},
    error::{Error, within},
    guard::{Guard, Offence},
    stream::Stream,
};

/// How long a question and its answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers one question, by the actor behind `commands`.
pub(crate) async fn serve(mut stream: Stream, guard: Guard, commands: mpsc::WeakSender<Command>) {
    let peer = stream.peer();
    let served = async {
        let Some(frame) = stream.recv(QUESTION_MAX_BYTES).await? else { return Ok(()) };
        let Some((question, near)) = Question::from_bytes(&frame) else {
            guard.offence(peer, Offence::Malformed);
            return Ok(());
        };
        let finds = matches!(question, Question::Find { .. });
        let commands = commands.upgrade().ok_or(Error::Stopped)?;
        let known = ask(&commands, |reply| Command::Know { question, by: Some(peer), reply }).await?;
        let servers = named(&near, known.servers).into_iter().filter(|server| server.peer != peer);
        let servers =
            servers.map(|server| (server.peer, server.addresses.iter().filter_map(from_multiaddr).collect()));
        let value = if finds { known.value } else { Vec::new() };
        let answer = Answer { has: known.has, value, servers: servers.collect() };
        stream.send(&answer.to_bytes()).await?;
        stream.close().await
    };
    if let Err(error) = within("answering for the directory", PATIENCE, served).await {
        tracing::debug!(peer = %peer.short(), %error, "a question to the directory was not answered");
    }
}
