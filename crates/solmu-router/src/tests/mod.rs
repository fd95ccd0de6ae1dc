//! Tests on the real engines: the router against a model of the ticket service.

mod engine;
mod kept;
mod offers;
mod people;
mod removal;
mod replicas;
mod service;
mod support;
