//! A link to a registry: it counts what is answered, slows it down, stops it and cuts connections.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// What happens to the answers. Without a word, they go through.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// How many connections are cut,
    pub(crate) cuts: usize,
    /// once so many bytes of answers have come over each of them.
    pub(crate) cut_after: usize,
    /// How long a mebibyte takes.
    pub(crate) per_mebibyte: Duration,
    /// After how many bytes, over all connections, nothing more comes until the test lets it.
    pub(crate) stop_after: usize,
}

impl Default for Manner {
    fn default() -> Self {
        Self { cuts: 0, cut_after: 0, per_mebibyte: Duration::ZERO, stop_after: usize::MAX }
    }
}

#[derive(Debug, Default)]
struct State {
    /// How many bytes were answered, in all and since the last cut.
    answered: usize,
    since_cut: usize,
    /// How many of them [`Link::take`] has told.
    reported: usize,
    cut: usize,
    goes_on: bool,
}

/// A link that carries connections as long as this process lives.
pub(crate) struct Link {
    port: u16,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Link {
    pub(crate) fn start(registry: &str, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let state: Arc<(Mutex<State>, Condvar)> = Arc::default();
        let (shared, registry) = (Arc::clone(&state), registry.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (shared, registry) = (Arc::clone(&shared), registry.clone());
                // A connection that breaks is the end of its thread.
                thread::spawn(move || carry(client, &registry, manner, &shared));
            }
        });
        Self { port, state }
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// How the DNS tells of a publisher at the end of this link.
    pub(crate) fn hint(&self) -> String {
        format!("/ip4/127.0.0.1/tcp/{}/http", self.port)
    }

    /// How many bytes were answered since this was asked last.
    pub(crate) fn take(&self) -> usize {
        let mut state = lock(&self.state.0);
        let new = state.answered - state.reported;
        state.reported = state.answered;
        new
    }

    /// How many connections were cut.
    pub(crate) fn cut(&self) -> usize {
        lock(&self.state.0).cut
    }

    /// How many bytes were answered since the last cut.
    pub(crate) fn since_cut(&self) -> usize {
        lock(&self.state.0).since_cut
    }

    /// Lets what has stopped go on.
    pub(crate) fn go_on(&self) {
        lock(&self.state.0).goes_on = true;
        self.state.1.notify_all();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.go_on();
    }
}

fn carry(
    mut client: TcpStream,
    registry: &str,
    manner: Manner,
    shared: &(Mutex<State>, Condvar),
) -> io::Result<()> {
    let mut server = TcpStream::connect(registry)?;
    let (mut requests, mut to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut requests, &mut to_server);
        to_server.shutdown(Shutdown::Write)
    });
    let (mut buffer, mut carried) = ([0; 8192], 0);
    loop {
        let length = server.read(&mut buffer)?;
        carried += length;
        if length == 0 {
            return client.shutdown(Shutdown::Write);
        }
        let mut state = lock(&shared.0);
        if carried > manner.cut_after && state.cut < manner.cuts {
            state.cut += 1;
            state.since_cut = 0;
            let _ = server.shutdown(Shutdown::Both);
            return client.shutdown(Shutdown::Both);
        }
        while state.answered >= manner.stop_after && !state.goes_on {
            state = shared.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.answered += length;
        state.since_cut += length;
        if !manner.per_mebibyte.is_zero() {
            // The link is one: the connections wait for each other.
            let length = u32::try_from(length).expect("a buffer is short");
            thread::sleep(manner.per_mebibyte * length / (1 << 20));
        }
        drop(state);
        client.write_all(&buffer[..length])?;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
