//! What every process needs beneath its own work: time, chance, settings, logs, metrics, tasks and an HTTP door.

pub mod admin;
pub mod clock;
pub mod config;
pub mod data_dir;
mod error;
pub mod exit;
pub mod health;
pub mod http;
pub mod metrics;
pub mod random;
pub mod run_file;
pub mod shutdown;
pub mod tasks;
pub mod telemetry;

pub use error::Error;
