//! `bezant top`: the live figures of the running frame in a terminal. It reads `/metrics` of the
//! admin door, as Prometheus does, and knows nothing else. Invariant: what is shown is of two
//! readings of the same process; after a restart of the frame it begins anew.

mod draw;
mod reading;
mod text;
mod view;

use std::io::{self, IsTerminal as _};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::Rect;

use self::reading::Reading;
use self::view::View;
use crate::asking;
use crate::cli::TopArgs;
use crate::config::Config;
use crate::exit::{Exit, Failure, OrExit as _};

/// Screen of `--once`: every panel has room.
const ONCE: Rect = Rect::new(0, 0, 110, 52);

/// How soon an answer that has come is seen.
const GLANCE: Duration = Duration::from_millis(50);

/// What a key asks for.
#[derive(Debug, PartialEq, Eq)]
enum Wish {
    Leave,
    Pause,
}

/// Shows the figures until the user leaves, or once.
pub(crate) fn run(config: &Config, args: &TopArgs) -> Result<(), Failure> {
    let every = Duration::from_millis(args.interval_ms);
    let mut view = View::of(read(config)?);
    if args.once {
        thread::sleep(every);
        view.take(read(config)?);
        return print(&view);
    }
    if !io::stdout().is_terminal() {
        let message = "standard output is no terminal: `bezant top --once` prints the figures";
        return Err(Failure::new(Exit::Usage, message.to_owned()));
    }
    let mut terminal = ratatui::try_init().or_exit(Exit::Io, "cannot set up the terminal")?;
    let shown = show(&mut terminal, config, &mut view, every);
    ratatui::try_restore().or_exit(Exit::Io, "cannot restore the terminal")?;
    shown.or_exit(Exit::Io, "terminal")
}

fn read(config: &Config) -> Result<Reading, Failure> {
    let answer = asking::admin_door(config.admin, "/metrics")?;
    Reading::parse(Instant::now(), &answer.body).ok_or_else(|| {
        let message = format!("what answers at {} is no frame", config.admin);
        Failure::new(Exit::Temporary, message)
    })
}

/// Asks the frame on a thread of its own, so that nobody is kept waiting by a slow answer.
struct Asker {
    questions: SyncSender<()>,
    readings: Receiver<Result<Reading, Failure>>,
    is_asked: bool,
}

impl Asker {
    fn start(config: &Config) -> io::Result<Self> {
        let (questions, asked) = sync_channel::<()>(1);
        let (tell, readings) = sync_channel(1);
        let config = config.clone();
        // It ends with its asker, or with the process while it waits for an answer.
        thread::Builder::new()
            .name("asker".into())
            .spawn(move || while asked.recv().is_ok() && tell.send(read(&config)).is_ok() {})?;
        Ok(Self { questions, readings, is_asked: false })
    }

    /// Asks, unless an answer is still to come.
    fn ask(&mut self) {
        if !self.is_asked {
            self.is_asked = self.questions.try_send(()).is_ok();
        }
    }

    /// The answer, when it has come.
    fn answer(&mut self) -> Option<Result<Reading, Failure>> {
        let answer = self.readings.try_recv().ok()?;
        self.is_asked = false;
        Some(answer)
    }
}

/// The loop of the terminal: a reading every so often, keys at once.
fn show(
    terminal: &mut DefaultTerminal,
    config: &Config,
    view: &mut View,
    every: Duration,
) -> io::Result<()> {
    let mut asker = Asker::start(config)?;
    let mut next = Instant::now() + every;
    loop {
        terminal.draw(|frame| draw::screen(view, frame.area(), frame.buffer_mut()))?;
        let left = next.saturating_duration_since(Instant::now());
        let is_key = event::poll(if asker.is_asked { left.min(GLANCE) } else { left })?;
        if is_key && let Event::Key(key) = event::read()? {
            match wish(key) {
                Some(Wish::Leave) => return Ok(()),
                Some(Wish::Pause) => view.is_paused = !view.is_paused,
                None => {}
            }
        }
        match asker.answer() {
            // What comes during a pause was asked before it.
            Some(_) if view.is_paused => {}
            Some(Ok(reading)) => view.take(reading),
            Some(Err(Failure { message, .. })) => view.fail(message),
            None => {}
        }
        if Instant::now() >= next {
            next = Instant::now() + every;
            if !view.is_paused {
                asker.ask();
            }
        }
    }
}

fn wish(key: KeyEvent) -> Option<Wish> {
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        _ if key.kind == KeyEventKind::Release => None,
        KeyCode::Char('c') if is_control => Some(Wish::Leave),
        KeyCode::Char('q') | KeyCode::Esc => Some(Wish::Leave),
        KeyCode::Char(' ' | 'p') => Some(Wish::Pause),
        _ => None,
    }
}

/// The screen as lines of text.
fn print(view: &View) -> Result<(), Failure> {
    let mut screen = Buffer::empty(ONCE);
    draw::screen(view, ONCE, &mut screen);
    for line in screen.content().chunks(usize::from(ONCE.width)) {
        let line: String = line.iter().map(ratatui::buffer::Cell::symbol).collect();
        say!("{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_does_not_wait_for_the_answer() {
        // It accepts and says nothing.
        let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut settings = crate::settings::Settings::defaults();
        let address = format!("listen.admin={}", deaf.local_addr().unwrap());
        settings.flags(&[address, "data.dir=/nowhere".into()]).unwrap();
        let config = Config::from_settings(&settings).unwrap();
        let mut asker = Asker::start(&config).unwrap();
        asker.ask();
        asker.ask();
        assert!(asker.is_asked && asker.answer().is_none(), "one question is under way");
        drop(deaf.accept().unwrap());
        let answer = std::iter::repeat_with(|| asker.answer()).find_map(|answer| {
            thread::sleep(GLANCE);
            answer
        });
        assert!(answer.unwrap().is_err(), "it has hung up");
        assert!(!asker.is_asked);
    }

    #[test]
    fn keys_leave_and_pause() {
        let key = |code, modifiers| wish(KeyEvent::new(code, modifiers));
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::NONE), Some(Wish::Leave));
        assert_eq!(key(KeyCode::Esc, KeyModifiers::NONE), Some(Wish::Leave));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Wish::Leave));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), None);
        assert_eq!(key(KeyCode::Char(' '), KeyModifiers::NONE), Some(Wish::Pause));
    }
}
