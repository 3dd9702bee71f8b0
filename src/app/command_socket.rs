//! The socket in the data folder by which commands reach the server that runs on it.
//!
//! A client sends one line of JSON, and gets one line back: the result, or why there is none. Only the user of the
//! server can connect. A client that sends nothing, or reads nothing, is left alone after a few seconds.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as BlockingListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};

use super::AppError;

/// The name of the socket, and of one that is not ready yet.
const NAME: &str = "command.sock";
const DRAFT: &str = ".command.sock";

/// The longest path that the address of a socket has space for.
const LONGEST_PATH: usize = 107;

/// How many bytes a command may have, and a result.
const COMMAND_BYTES: u64 = 64 * 1024;
const RESULT_BYTES: u64 = 16 * 1024 * 1024;

/// How many commands are served at a time.
const MOST: usize = 16;

/// How long a client may take to send its command, and to take its result.
const TRANSFER: Duration = Duration::from_secs(5);

/// How long a command tries to connect to a server, which may be starting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

/// How long a command waits for its result.
const RESULT: Duration = Duration::from_mins(6);

/// After how long the socket is made again where that failed.
const AGAIN: Duration = Duration::from_secs(10);

/// What a command came to: a result, or why there is none.
pub(super) type Answer = Result<Value, String>;

/// The socket's file, which goes with this.
struct Bound {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for Bound {
    fn drop(&mut self) {
        // One that stays is replaced at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

/// Serves commands; each is carried out to its end even if its client is gone. To be called by the process that has
/// the lock on the data folder. Never returns; dropping it ends what is under way.
pub(super) async fn serve<Command, Carried>(
    data: PathBuf,
    carry_out: impl Fn(Command) -> Carried + Clone + Send + 'static,
) where
    Command: DeserializeOwned + Send + 'static,
    Carried: Future<Output = Answer> + Send + 'static,
{
    let bound = bind(&data).await;
    let slots = Arc::new(Semaphore::new(MOST));
    let mut running = JoinSet::new();
    loop {
        let slot = slots.clone().acquire_owned().await.expect("it is never closed");
        match bound.listener.accept().await {
            Ok((stream, _)) if !is_allowed(&stream) => {
                tracing::warn!("refused a command of another user");
                drop(slot);
            }
            Ok((stream, _)) => {
                let carry_out = carry_out.clone();
                running.spawn(async move {
                    if let Err(error) = answer(stream, carry_out).await {
                        tracing::debug!(%error, "failed to answer a command");
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept a command");
                sleep(PAUSE).await;
            }
        }
        while running.try_join_next().is_some() {}
    }
}

/// Tells whether the user of the server has connected, or root. Others could for the moment before the socket has its
/// permissions, where the folder lets them in.
fn is_allowed(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own.as_raw() || peer.uid() == 0)
}

/// Makes the socket, as soon as that is possible: there may be no space on the disk.
async fn bind(data: &Path) -> Bound {
    let mut is_first = true;
    loop {
        let folder = data.to_owned();
        let bound = spawn_blocking(move || make(&folder)).await;
        match bound.map_err(io::Error::other).flatten().and_then(UnixListener::from_std) {
            Ok(listener) => return Bound { listener, path: data.join(NAME) },
            Err(error) if is_first => {
                tracing::warn!(%error, "failed to make the socket for commands; trying again");
                is_first = false;
            }
            Err(_) => {}
        }
        sleep(AGAIN).await;
    }
}

/// Makes the socket under another name, and gives it its own name when only its user can connect. One that another
/// process has left is replaced.
fn make(data: &Path) -> io::Result<BlockingListener> {
    let draft = data.join(DRAFT);
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = with_address(data, DRAFT, |path| BlockingListener::bind(path))?;
    listener.set_nonblocking(true)?;
    fs::set_permissions(&draft, Permissions::from_mode(0o600))?;
    fs::rename(&draft, data.join(NAME))?;
    Ok(listener)
}

/// Passes on the path of a file in the data folder; where it is too long for the address of a socket, a short one that
/// leads to the same.
fn with_address<T>(
    data: &Path,
    name: &str,
    operation: impl FnOnce(&Path) -> io::Result<T>,
) -> io::Result<T> {
    let path = data.join(name);
    if path.as_os_str().len() <= LONGEST_PATH {
        return operation(&path);
    }
    let folder = File::open(data)?;
    operation(Path::new(&format!("/proc/self/fd/{}/{name}", folder.as_raw_fd())))
}

async fn answer<Command: DeserializeOwned, Carried: Future<Output = Answer>>(
    mut stream: UnixStream,
    carry_out: impl Fn(Command) -> Carried,
) -> io::Result<()> {
    let line = within(TRANSFER, read_line(&mut stream, COMMAND_BYTES)).await?;
    let answer = match serde_json::from_slice(&line) {
        Ok(command) => carry_out(command).await,
        Err(error) => {
            tracing::warn!(%error, "refused a malformed command");
            Err(format!("the server does not know this command ({error}): use the same version"))
        }
    };
    within(TRANSFER, write_line(&mut stream, &answer)).await
}

/// Sends a command to the server that runs on a data folder, and returns its result.
///
/// # Errors
/// [`AppError::NoServer`] where none answers, [`AppError::Refused`] with its reason, [`AppError::Unanswered`] where it
/// ended early, [`AppError::Folder`] where the socket cannot be used.
pub(super) async fn send<T: DeserializeOwned>(
    data: &Path,
    command: &impl Serialize,
) -> Result<T, AppError> {
    let mut stream = connect(data).await?;
    let exchange = async {
        write_line(&mut stream, command).await?;
        let line = read_line(&mut stream, RESULT_BYTES).await?;
        let answer: Result<T, String> = serde_json::from_slice(&line)?;
        Ok(answer)
    };
    within(RESULT, exchange).await.map_err(AppError::Unanswered)?.map_err(AppError::Refused)
}

/// Connects as soon as there is a server.
async fn connect(data: &Path) -> Result<UnixStream, AppError> {
    let begun = Instant::now();
    loop {
        let connected = with_address(data, NAME, |path| {
            let stream = std::os::unix::net::UnixStream::connect(path)?;
            stream.set_nonblocking(true)?;
            UnixStream::from_std(stream)
        });
        match connected {
            Ok(stream) => return Ok(stream),
            Err(error) if !is_absence(&error) => {
                return Err(AppError::Folder { data: data.to_owned(), source: error });
            }
            Err(_) if begun.elapsed() >= CONNECT_TIMEOUT => return Err(AppError::NoServer),
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// Tells whether there is no socket, or nothing behind it.
fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

async fn write_line(stream: &mut UnixStream, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line).await
}

/// Reads a line. One that does not end is no command: its client has gone before it had sent all.
async fn read_line(stream: impl AsyncRead + Unpin, most: u64) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    BufReader::new(stream.take(most)).read_until(b'\n', &mut line).await?;
    match line.last() {
        Some(b'\n') => Ok(line),
        _ if line.len() as u64 == most => Err(io::ErrorKind::InvalidData.into()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

async fn within<T>(
    limit: Duration,
    transfer: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    match timeout(limit, transfer).await {
        Ok(done) => done,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};

    use tempfile::TempDir;

    use super::*;

    /// Serves a folder by saying everything again; dropping it ends that.
    fn echo(data: &Path) -> JoinSet<()> {
        let mut serving = JoinSet::new();
        serving.spawn(serve(data.to_owned(), |text: String| async move { Ok(text.into()) }));
        serving
    }

    /// Connects without sending anything.
    async fn client(data: &Path) -> UnixStream {
        connect(data).await.expect("it is served")
    }

    async fn said(data: &Path, text: &str) -> Result<String, AppError> {
        send(data, &text).await
    }

    #[tokio::test]
    async fn only_its_user_can_connect_and_a_socket_that_was_left_is_replaced() {
        let data = TempDir::new().unwrap();
        // As one that was killed leaves them.
        drop(BlockingListener::bind(data.path().join(NAME)).unwrap());
        drop(BlockingListener::bind(data.path().join(DRAFT)).unwrap());
        let serving = echo(data.path());
        assert_eq!(said(data.path(), "hello").await.unwrap(), "hello");
        let file = fs::symlink_metadata(data.path().join(NAME)).unwrap();
        assert!(file.file_type().is_socket());
        assert_eq!(file.mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1);
        drop(serving);
        while data.path().join(NAME).exists() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_folder_with_a_long_path_is_served() {
        let above = TempDir::new().unwrap();
        let data = above.path().join("folder-".repeat(30));
        fs::create_dir(&data).unwrap();
        let _serving = echo(&data);
        assert_eq!(said(&data, "hello").await.unwrap(), "hello");
    }

    #[tokio::test]
    async fn clients_that_stall_delay_others_for_a_moment_only() {
        let data = TempDir::new().unwrap();
        let _serving = echo(data.path());
        let mut stalled = Vec::new();
        for number in 0..MOST + 4 {
            let mut stream = client(data.path()).await;
            stream.write_all(&b"\"half"[..number % 6]).await.unwrap();
            stalled.push(stream);
        }
        assert_eq!(said(data.path(), "hello").await.unwrap(), "hello");
    }

    #[tokio::test]
    async fn what_is_no_command_is_refused_and_half_of_one_not_carried_out() {
        let data = TempDir::new().unwrap();
        let carried = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = carried.clone();
        let _serving = tokio::spawn(serve(data.path().to_owned(), move |_: String| {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            async { Ok(Value::Null) }
        }));
        for garbage in [&b"\n"[..], b"\0\xff\n", b"{}\n", b"GET / HTTP/1.1\r\n\r\n"] {
            let mut stream = client(data.path()).await;
            stream.write_all(garbage).await.unwrap();
            let line = read_line(&mut stream, RESULT_BYTES).await.unwrap();
            let answer: Result<(), String> = serde_json::from_slice(&line).unwrap();
            assert!(answer.is_err(), "{garbage:?}");
        }
        // It has gone before it had sent all, or sends more than any command has.
        client(data.path()).await.write_all(b"\"clear\"").await.unwrap();
        let mut endless = client(data.path()).await;
        let endless_text = vec![b'x'; 10 * 1024 * 1024];
        assert!(endless.write_all(&endless_text).await.is_err(), "it is not read to its end");
        send::<()>(data.path(), &"whole").await.unwrap();
        assert_eq!(carried.load(std::sync::atomic::Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_server_that_ends_before_it_answers_is_reported() {
        let data = TempDir::new().unwrap();
        let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
        let serving = tokio::spawn(serve(data.path().to_owned(), move |_: String| {
            let _ = begun.send(());
            std::future::pending()
        }));
        let folder = data.path().to_owned();
        let sending = tokio::spawn(async move { said(&folder, "hello").await });
        begins.recv().await.unwrap();
        serving.abort();
        let answer = sending.await.unwrap();
        assert!(matches!(answer, Err(AppError::Unanswered(_))), "{answer:?}");
    }

    #[tokio::test]
    async fn where_nothing_listens_there_is_no_server() {
        let data = TempDir::new().unwrap();
        drop(BlockingListener::bind(data.path().join(NAME)).unwrap());
        let answer = said(data.path(), "hello").await;
        assert!(matches!(answer, Err(AppError::NoServer)), "{answer:?}");
    }
}
