//! `space`: create, list, show, invite, join, members, leave.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use super::{
    client::{Client, Error, segment},
    output::{Output, cell},
    text_input,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a new space
    Create {
        /// A name, seen only by members
        name: String,
    },
    /// All spaces of this device
    #[command(alias = "ls")]
    List,
    /// One space: heads, gateway, how safe
    Show {
        /// The space (its id or a beginning of it)
        space: String,
    },
    /// Make a ticket: whoever has it can join, so give it through a channel you trust
    Invite {
        /// The space
        space: String,
        /// What the invited may do: viewer, editor or admin
        #[arg(long, default_value = "editor")]
        role: String,
        /// The ticket ends after this many seconds
        #[arg(long)]
        expires_secs: Option<u64>,
    },
    /// Join by the ticket on standard input or in a file
    Join {
        /// A file with the ticket (default: standard input)
        file: Option<PathBuf>,
    },
    /// Who may do what
    Members {
        /// The space
        space: String,
    },
    /// Forget the space on this device
    Leave {
        /// The space
        space: String,
        /// Do it without asking
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) fn carry_out(command: Command, client: &Client, out: &Output) -> Result<(), Error> {
    match command {
        Command::Create { name } => {
            let answer = client.post("spaces", &json!({"name": name}))?;
            out.show(&answer, |answer| format!("created space {}", cell(answer.get("space"))));
        }
        Command::List => {
            let columns =
                [("SPACE", "space"), ("NAME", "name"), ("DOCUMENTS", "documents"), ("LEVEL", "level")];
            out.table(&client.get("spaces")?, "spaces", &columns);
        }
        Command::Show { space } => {
            let answer = client.get(&format!("spaces/{}", segment(&space)))?;
            out.show(&answer, |answer| format!("{answer:#}"));
        }
        Command::Invite { space, role, expires_secs } => {
            let body = json!({"role": role, "expires_secs": expires_secs});
            let answer = client.post(&format!("spaces/{}/invites", segment(&space)), &body)?;
            out.show(&answer, |answer| cell(answer.get("ticket")));
        }
        Command::Join { file } => {
            let ticket = text_input(file.as_ref())?;
            let answer = client.post("spaces/join", &json!({"ticket": ticket.trim()}))?;
            out.show(&answer, |answer| format!("joined space {}", cell(answer.get("space"))));
        }
        Command::Members { space } => {
            let columns = [("WRITER", "writer"), ("ROLE", "role"), ("THIS DEVICE", "this_device")];
            out.table(&client.get(&format!("spaces/{}/members", segment(&space)))?, "members", &columns);
        }
        Command::Leave { space, yes } => {
            if !yes {
                return Err(Error::Usage(
                    "leaving deletes this device's copy of the space; add --yes if that is meant",
                ));
            }
            let answer = client.delete(&format!("spaces/{}", segment(&space)))?;
            out.show(&answer, |_answer| "this device has forgotten the space".to_owned());
        }
    }
    Ok(())
}
