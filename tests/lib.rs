//! End-to-end tests against the built `solmu` binary, on real engines of their own.
//!
//! Each test starts the program as an operator does, talks to it in the protocols of customers, vendors and agents, and
//! looks at what came of it through the gRPC API; only the crash tests also count rows in the database, because "exactly
//! once" is a claim about what is stored. The binary is `SOLMU_BIN`, or the one beside the test in the target folder
//! (`cargo xtask test` builds it first).
//!
//! Nothing may outlive a test: processes are killed by their ids, also when a test fails, and engines follow the process
//! that supervises them.

#[cfg(test)]
mod auth;
#[cfg(test)]
mod channels;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod dead;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod drain;
#[cfg(test)]
mod duplicates;
#[cfg(test)]
mod failover;
#[cfg(test)]
mod first_run;
#[cfg(test)]
mod imports;
#[cfg(test)]
mod permissions;
#[cfg(test)]
mod roles;
#[cfg(test)]
mod rollout;
#[cfg(test)]
mod sight;
#[cfg(test)]
mod sla_timers;
#[cfg(test)]
mod support;
#[cfg(test)]
mod ticket_timers;
#[cfg(test)]
mod trace;
#[cfg(test)]
mod truth;
#[cfg(test)]
mod upgrade;
