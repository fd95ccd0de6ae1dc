//! What a caller may choose. Everything else follows from the measurements behind the embedded default.

use std::path::PathBuf;

/// How hard the engines try to keep what they acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Every commit and every publish ack waits for the disk: PostgreSQL with fsync, JetStream with
    /// `sync_interval: always` (with its default of two minutes a power cut loses acknowledged messages).
    #[default]
    Synced,
    /// Nothing waits for the disk. Only for tests: a power cut may lose or ruin everything.
    Volatile,
}

/// Where the engines keep their data, which binaries they are and how large they get.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// The data directory asked for; it is made when missing. [`crate::Engines::data_dir`] says which one was taken.
    pub data_dir: PathBuf,
    /// PostgreSQL to try first: its `bin` folder or the `postgres` binary in it.
    pub postgres_bin: Option<PathBuf>,
    /// nats-server to try first: the binary or its folder.
    pub nats_bin: Option<PathBuf>,
    /// What survives a power cut.
    pub durability: Durability,
    /// PostgreSQL's connection limit.
    pub max_connections: u32,
    /// PostgreSQL's page cache, in MiB.
    pub shared_buffers_mb: u32,
    /// The executable that calls [`crate::run_child_if_asked`] first in its `main`. `None`: the running one, which is
    /// right everywhere but in test binaries, whose `main` is not ours.
    pub launcher: Option<PathBuf>,
    /// Where data and copies of the engines go when we run as root and the unprivileged user cannot enter the folders
    /// asked for.
    pub system_dir: PathBuf,
}

impl EngineConfig {
    /// The defaults of the product for `data_dir`: durable, 50 connections, 128 MiB of page cache.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            postgres_bin: None,
            nats_bin: None,
            durability: Durability::Synced,
            max_connections: 50,
            shared_buffers_mb: 128,
            launcher: None,
            system_dir: PathBuf::from("/var/lib/solmu"),
        }
    }
}
