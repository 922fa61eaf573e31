//! Says back what is said: the server that `dev/autobahn` tests. Prints its address, which is on a free port.

use std::io::Write as _;

use fanfare_lifecycle::Lifecycle;
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    match fanfare_gateway_ws::echo::serve(listener, Lifecycle::new()).await? {}
}
