//! `space`: create, list, show, invite, join, members, leave.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use cosmic_cli::{Client, Error, Output, cell, input, segment};
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a new space
    Create {
        /// A name, seen only by members
        name: String,
        /// Where its data may lie, never elsewhere; may be given several times, and cannot be changed later
        #[arg(long = "region")]
        regions: Vec<String>,
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
        /// What the invited may do
        #[arg(long, default_value = "editor")]
        role: InviteRole,
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

/// What an invited device may do.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum InviteRole {
    /// Read
    Viewer,
    /// Read and write
    Editor,
    /// Read, write and invite
    Admin,
}

pub(crate) fn carry_out(command: Command, client: &Client, out: Output) -> Result<(), Error> {
    match command {
        Command::Create { name, regions } => {
            let answer = client.post("spaces", &json!({"name": name, "regions": regions}))?;
            out.show(&answer, |answer| format!("created space {}", cell(answer.get("space"))))
        }
        Command::List => {
            out.table(&client.get("spaces")?, "/spaces", &["space", "name", "documents", "level"])
        }
        Command::Show { space } => out.fields(&client.get(&place(&space))?),
        Command::Invite { space, role, expires_secs } => {
            let role = role.to_possible_value().map(|role| role.get_name().to_owned());
            let body = json!({"role": role, "expires_secs": expires_secs});
            let answer = client.post(&format!("{}/invites", place(&space)), &body)?;
            out.show(&answer, |answer| cell(answer.get("ticket")))
        }
        Command::Join { file } => {
            let ticket = input(file.as_ref())?;
            let answer = client.post("spaces/join", &json!({"ticket": ticket.trim()}))?;
            out.show(&answer, |answer| format!("joined space {}", cell(answer.get("space"))))
        }
        Command::Members { space } => {
            let answer = client.get(&format!("{}/members", place(&space)))?;
            out.table(&answer, "/members", &["writer", "role", "this_device"])
        }
        Command::Leave { yes: false, .. } => {
            Err(Error::Usage("leaving deletes this device's copy of the space; add --yes if that is meant"))
        }
        Command::Leave { space, yes: true } => {
            let answer = client.delete(&place(&space))?;
            out.show(&answer, |_answer| "this device has forgotten the space".to_owned())
        }
    }
}

fn place(space: &str) -> String {
    format!("spaces/{}", segment(space))
}
