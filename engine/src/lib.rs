//! The deterministic money machine: accounts, transfers, holds, fees, supply.
