//! The disruptor ring behind our words: requests, their pool, stages and reply queues.
