//! The reflection service of gRPC: what methods there are. It says nothing that is not in the repository, so anybody
//! may ask.

use axum::Router;
use fanfare_proto::FILE_DESCRIPTOR_SET;
use tonic_reflection::server::Builder;

use crate::routes::SERVICES;

/// Adds its routes, in the version that is stable and in the one before it, which most tools ask for.
pub(crate) fn add_to(mut router: Router) -> Router {
    let builder = || {
        let builder = Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // The details of statuses, so that tools can show them.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
            .with_service_name("grpc.health.v1.Health");
        SERVICES.into_iter().fold(builder, Builder::with_service_name)
    };
    let v1 = builder().build_v1().expect("the descriptors were made by the build");
    let v1alpha = builder().build_v1alpha().expect("the descriptors were made by the build");
    router = router.route_service("/grpc.reflection.v1.ServerReflection/{*rest}", v1);
    router.route_service("/grpc.reflection.v1alpha.ServerReflection/{*rest}", v1alpha)
}
