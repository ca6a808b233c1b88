//! Runs the tests: the servers are started once, by the first test that needs them, and stopped at the end.

use std::any::Any;
use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::sync::RwLock;

use super::Environment;

/// Tests at a time, unless the command line says otherwise. They wait more than they work.
const TEST_THREADS: usize = 4;
/// A test that takes longer than this has hung.
const TEST_LIMIT: Duration = Duration::from_mins(3);
/// A long test that takes longer than this has.
const LONG_TEST_LIMIT: Duration = Duration::from_mins(15);

type Body = Box<dyn FnOnce(Context) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// One test.
pub struct Test {
    name: String,
    alone: bool,
    long: bool,
    body: Body,
}

impl Test {
    /// A test whose name is its path in this crate; [`tests!`] makes it.
    pub fn new<F: Future<Output = ()> + 'static>(
        module: &str,
        name: &str,
        body: impl FnOnce(Context) -> F + Send + 'static,
    ) -> Self {
        let module = module.split_once("::").map_or(module, |(_, module)| module);
        let name = format!("{module}::{name}");
        Self { name, alone: false, long: false, body: Box::new(|context| Box::pin(body(context))) }
    }

    /// Runs while no other test does: it measures time.
    pub fn alone(self) -> Self {
        Self { alone: true, ..self }
    }

    /// Takes minutes: it runs only when asked for (`--ignored`, which `make test-faults` says).
    pub fn long(self) -> Self {
        Self { long: true, ..self }
    }
}

/// Makes a list of [`Test`]s from the names of async functions.
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        vec![$($crate::support::Test::new(module_path!(), stringify!($name), $name)),*]
    };
}
pub(crate) use tests;

/// The same for tests that take minutes.
macro_rules! long_tests {
    ($($name:ident),* $(,)?) => {
        vec![$($crate::support::Test::new(module_path!(), stringify!($name), $name).long()),*]
    };
}
pub(crate) use long_tests;

/// What a test is given.
#[derive(Clone)]
pub struct Context {
    /// The servers of the run.
    pub environment: Arc<Environment>,
    logs: Arc<Mutex<Vec<String>>>,
}

impl Context {
    /// Keeps a process' output, to be shown with the test's failure.
    pub fn keep_log(&self, log: String) {
        self.logs.lock().push(log);
    }
}

thread_local! {
    /// What the last panic of this thread said, and where.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs those of `tests` that the command line asks for.
pub fn run(tests: Vec<Test>) -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default(); // nobody was faster
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(TEST_THREADS);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let runtime = Arc::new(runtime);
    let environment = Arc::new(Environment::default());
    let turns = Arc::new(RwLock::new(()));
    std::panic::set_hook(Box::new(|panic| {
        PANIC.set(Some(panic.to_string()));
        // Tests run on threads without a name; elsewhere nobody would tell.
        if std::thread::current().name().is_some_and(|name| name.starts_with("tokio")) {
            eprintln!("{panic}");
        }
    }));
    let trials = tests
        .into_iter()
        .map(|test| {
            let (runtime, environment, turns) = (Arc::clone(&runtime), Arc::clone(&environment), Arc::clone(&turns));
            let (name, long) = (test.name.clone(), test.long);
            Trial::test(name, move || one(test, &runtime, environment, &turns)).with_ignored_flag(long)
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Ok(environment) = Arc::try_unwrap(environment).map_err(|_| "a test is still running") {
        runtime.block_on(environment.stop());
    }
    conclusion.exit_code()
}

fn one(test: Test, runtime: &Runtime, environment: Arc<Environment>, turns: &RwLock<()>) -> Result<(), Failed> {
    let context = Context { environment, logs: Arc::default() };
    let logs = Arc::clone(&context.logs);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            let (mut shared, mut exclusive) = (None, None);
            if test.alone {
                exclusive = Some(turns.write().await);
            } else {
                shared = Some(turns.read().await);
            }
            let limit = if test.long { LONG_TEST_LIMIT } else { TEST_LIMIT };
            let ended = tokio::time::timeout(limit, (test.body)(context)).await;
            drop((shared, exclusive));
            assert!(ended.is_ok(), "the test was still running after {limit:?}");
        });
    }));
    outcome.map_err(|panic| {
        let said = PANIC.take().unwrap_or_else(|| text_of(&*panic));
        let logs = logs.lock().join("\n");
        Failed::from(if logs.is_empty() { said } else { format!("{said}\n{logs}") })
    })
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without words").to_owned()
}
