//! Which database settlement writes to, as the configuration says.

use settlement::sink::EffectSource;
use settlement::{Batch, PostgresSink, ReadBack, Sink, SinkError, SqliteSink, Watermark};

use crate::config::{Config, SinkConfig};
use crate::exit::{Exit, Failure, OrExit as _};

/// Any of the sinks.
pub(crate) struct AnySink(Box<dyn Sink>);

/// The sink of the configuration, not connected yet; `None` when nothing is settled.
pub(crate) fn open(config: &Config) -> Result<Option<AnySink>, Failure> {
    Ok(match &config.sink {
        SinkConfig::None => None,
        SinkConfig::Sqlite(path) => Some(AnySink(Box::new(SqliteSink::new(path)))),
        SinkConfig::Postgres(dsn) => {
            let sink = PostgresSink::new(dsn).or_exit(Exit::Config, "settlement.postgres")?;
            Some(AnySink(Box::new(sink)))
        }
    })
}

impl Sink for AnySink {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn connect(&mut self) -> Result<(), SinkError> {
        self.0.connect()
    }

    fn watermark(&mut self) -> Result<Option<Watermark>, SinkError> {
        self.0.watermark()
    }

    fn commit(
        &mut self,
        batch: &Batch<'_>,
        expected: Option<&Watermark>,
        effects: &mut dyn EffectSource,
    ) -> Result<(), SinkError> {
        self.0.commit(batch, expected, effects)
    }

    fn read_back(&mut self) -> Result<ReadBack, SinkError> {
        self.0.read_back()
    }
}
