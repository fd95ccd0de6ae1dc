//! The gRPC services of the ticket service. They check the caller and the request, and call commands and queries.

pub(crate) mod activity;
mod answer;
mod blocks;
mod experts;
pub(crate) mod fields;
mod links;
pub(crate) mod matters;
mod merge;
mod quarantine;
pub(crate) mod restrict;
#[cfg(test)]
mod seen_tests;
pub(crate) mod tickets;
pub(crate) mod update;
pub(crate) mod work;

use solmu_runtime::page;
pub(crate) use solmu_runtime::request::{optional_uuid, uuid};
