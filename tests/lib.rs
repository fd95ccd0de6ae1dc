//! End-to-end tests against the built `solmu` binary.
