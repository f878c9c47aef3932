//! The relay without sockets, and bytes that others wrote.

mod bytes;
mod client;
mod peers;
mod relaying;
