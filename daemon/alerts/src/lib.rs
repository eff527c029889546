//! Alert states, their history, and the durable outbox.
