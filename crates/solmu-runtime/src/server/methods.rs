//! The names of all gRPC methods, out of the descriptor set: the only values that the metric's label takes.

use std::collections::{HashMap, HashSet};

use prost::Message as _;
use prost_types::FileDescriptorSet;
use solmu_telemetry::metrics::intern;

/// Known methods by path (`/package.Service/Method`), with the name for spans and labels (without the first slash).
#[derive(Debug, Clone)]
pub(super) struct Methods {
    names: HashMap<String, &'static str>,
    /// Paths of those whose answer is a stream.
    streams: HashSet<String>,
    services: Vec<String>,
}

impl Methods {
    /// The name of all that is no method of ours.
    pub(super) const OTHER: &str = "other";

    /// Those of `descriptors`, an encoded descriptor set; what does not decode has none.
    pub(super) fn of(descriptors: &[u8]) -> Self {
        let set = FileDescriptorSet::decode(descriptors).unwrap_or_default();
        let (mut names, mut services) = (HashMap::new(), Vec::new());
        let mut streams = HashSet::new();
        for file in set.file {
            for service in &file.service {
                let service_name = format!("{}.{}", file.package(), service.name());
                for method in &service.method {
                    let name = format!("{service_name}/{}", method.name());
                    if method.server_streaming() {
                        streams.insert(format!("/{name}"));
                    }
                    names.insert(format!("/{name}"), intern(&name));
                }
                services.push(service_name);
            }
        }
        Self {
            names,
            streams,
            services,
        }
    }

    /// The name for the path of a call.
    pub(super) fn name(&self, path: &str) -> &'static str {
        self.names.get(path).copied().unwrap_or(Self::OTHER)
    }

    /// Whether the answer to a call of this path is a stream.
    pub(super) fn is_stream(&self, path: &str) -> bool {
        self.streams.contains(path)
    }

    /// Every service.
    pub(super) fn services(&self) -> &[String] {
        &self.services
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_methods_are_known() {
        let methods = Methods::of(solmu_proto::DESCRIPTOR_SET);
        let name = methods.name("/solmu.access.v1.AccessService/CreateToken");
        assert_eq!(name, "solmu.access.v1.AccessService/CreateToken");
        assert_eq!(methods.name("/made.up/Method"), "other");
        assert!(methods.is_stream("/solmu.ticket.v1.TicketService/WatchTickets"));
        assert!(!methods.is_stream("/solmu.ticket.v1.TicketService/GetTicket"));
        assert!(
            methods
                .services()
                .iter()
                .any(|name| name == "solmu.access.v1.AccessService")
        );
    }
}
