//! SQL of the schema `routing`. Free functions on a transaction; the leader's run in few statements per batch.
//! That of teams, agents and rules as people set them up is in `solmu-roster`.

pub(crate) mod decision;
pub(crate) mod desk;
pub(crate) mod erasure;
pub(crate) mod offer;
pub(crate) mod queue;
pub(crate) mod ticket;

pub(crate) use solmu_roster::store::{people, removal, rule, team};
