//! Tests on the real engines: the router against a model of the ticket service.

mod engine;
mod kept;
mod offers;
mod once;
mod people;
mod people_asked;
mod removal;
mod replicas;
mod restricting;
mod service;
mod support;
mod waits;
