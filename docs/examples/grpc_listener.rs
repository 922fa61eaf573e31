//! Listens to a topic over gRPC and goes on where it was cut off. Needs: tonic, and the code that it generates from
//! crates/proto/proto (here the crate `fanfare-proto`).
#![expect(clippy::print_stdout, reason = "an example prints what it hears")]
use std::time::Duration;

use fanfare_proto::v1::{
    From, SubscribeRequest, TopicFrom, event::Data, events_client::EventsClient, from::Start, server_frame::What,
};
use tonic::Request;
use tonic::transport::Endpoint;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let [address, token, topic] =
        ["FANFARE_GRPC", "FANFARE_TOKEN", "TOPIC"].map(|name| std::env::var(name).expect(name));
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let mut position = "start".to_owned();
    loop {
        let mut request = Request::new(SubscribeRequest {
            topics: vec![TopicFrom { topic: topic.clone(), from: None }],
            from: Some(From { start: Some(Start::Text(position.clone())) }),
            ..SubscribeRequest::default()
        });
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("a token"));
        if let Ok(channel) = endpoint.connect().await
            && let Ok(stream) = EventsClient::new(channel).subscribe(request).await
        {
            let mut stream = stream.into_inner();
            while let Ok(Some(frame)) = stream.message().await {
                match frame.what {
                    Some(What::Event(event)) => {
                        position = event.position;
                        match event.data {
                            Some(Data::Text(text)) => println!("{text}"),
                            Some(Data::Json(json)) => println!("{}", String::from_utf8_lossy(&json)),
                            _ => {}
                        }
                    }
                    Some(What::Gap(gap)) => println!("# {gap:?}"),
                    Some(What::Disconnect(goodbye)) => println!("# {goodbye:?}"),
                    _ => {}
                }
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
