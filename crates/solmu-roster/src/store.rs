//! SQL of teams, agents and rules in the schema `routing`. Free functions on a transaction.

pub mod people;
pub mod removal;
pub mod rule;
pub mod team;
