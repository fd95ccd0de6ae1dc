//! Which methods there are, out of the descriptors.

use std::collections::BTreeMap;

use prost_reflect::{DescriptorError, DescriptorPool, MessageDescriptor};

/// Why there is no JSON API.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The descriptors that are built in do not decode.
    #[error("the descriptors are damaged")]
    Descriptors(#[source] DescriptorError),
    /// The gRPC server has no address that can be called.
    #[error("the gRPC server cannot be called")]
    Endpoint(#[source] tonic::transport::Error),
}

/// A method that takes one message.
#[derive(Debug, Clone)]
pub(crate) struct Method {
    /// `/package.Service/Method`.
    pub(crate) grpc_path: String,
    pub(crate) input: MessageDescriptor,
    pub(crate) output: MessageDescriptor,
    pub(crate) gives_stream: bool,
}

/// Methods by the path that they are served at.
#[derive(Debug)]
pub(crate) struct Methods {
    by_path: BTreeMap<String, Method>,
    /// `google.rpc.Status`, with the details in the same pool.
    pub(crate) status: Option<MessageDescriptor>,
}

impl Methods {
    /// Those of Solmu.
    pub(crate) fn of_api() -> Result<Self, GatewayError> {
        let mut pool = DescriptorPool::decode(solmu_proto::DESCRIPTOR_SET)
            .map_err(GatewayError::Descriptors)?;
        // Details of errors are messages of google.rpc.
        pool.decode_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            .map_err(GatewayError::Descriptors)?;
        let mut by_path = BTreeMap::new();
        for service in pool.services() {
            for method in service.methods().filter(|it| !it.is_client_streaming()) {
                let grpc_path = format!("/{}/{}", service.full_name(), method.name());
                let method = Method {
                    input: method.input(),
                    output: method.output(),
                    gives_stream: method.is_server_streaming(),
                    grpc_path: grpc_path.clone(),
                };
                by_path.insert(format!("/v1{grpc_path}"), method);
            }
        }
        let status = pool.get_message_by_name("google.rpc.Status");
        Ok(Self { by_path, status })
    }

    /// The method that is served at this path.
    pub(crate) fn at(&self, path: &str) -> Option<&Method> {
        self.by_path.get(path)
    }

    /// Every path.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.by_path.keys().map(String::as_str)
    }
}
