//! The client room, for tests without a runtime of their own.

use std::sync::LazyLock;

pub(crate) use roadstead::client::Repository;
use roadstead::client::{Client, Credentials, Options};
use tokio::runtime::{Handle, Runtime};

/// Runs what a client does, to its end.
pub(crate) fn block_on<T: Send>(work: impl Future<Output = T> + Send) -> T {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder
            .enable_all()
            .worker_threads(2)
            .build()
            .expect("a runtime needs nothing from outside")
    });
    if Handle::try_current().is_err() {
        return RUNTIME.block_on(work);
    }
    // On a thread of its own, since some tests run in a runtime themselves.
    std::thread::scope(|scope| {
        scope.spawn(|| RUNTIME.block_on(work)).join().expect("it does not panic")
    })
}

/// A client of the registry at that URL, which signs in if it is a user, and accepts any certificate.
pub(crate) fn client(url: &str, user: Option<(&str, &str)>) -> Client {
    let credentials = user
        .map(|(user, password)| Credentials { user: user.to_owned(), password: password.into() });
    let options = Options { credentials, accepts_any_certificate: true, ..Options::default() };
    Client::with(url, options).expect("it is a URL")
}

/// One of its repositories.
pub(crate) fn repository(client: &Client, name: &str) -> Repository {
    client.repository(&name.parse().expect("it is a name"))
}
