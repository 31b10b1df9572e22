"""The Faust worker: slices in, micro-batches out.

The way of a slice, module by module:

1. `kafka_client.bounded_fetch` unpacks what one fetch brought of a partition, within bounds (`codecs`, `record_batches`).
2. `faust_bridge.transport` makes one Faust event of it, a slice, and reads on where PostgreSQL says, not where the group's
   offsets say.
3. `app` hands the slice to `lanes.group`, which finds the partition's lane.
4. `lanes.lane` offers it to its `lanes.inbox`: taken, dropped, or fetched again where something is missing before it.
5. When there is a window's worth, the lane has a thread of `lanes.writers` take the next step, through `lanes.store_calls`:
   retried, then paused, until the store takes it.
6. `lanes.assembler` takes messages off the inbox, `lanes.batch` has each read by the sink's reader or by `schemas.decoder`
   until the micro-batch is full, and `lanes.dead_letter_gate` says whether those that cannot be read may go to the dead letters.
7. The sink writes it in one transaction, with the offset; another worker's offset in between fences the lane.
8. `publisher` publishes the statuses that the transaction made.

Beside it: `lanes.poison_search` and `lanes.poison_check` find the message on which our own code fails;
`lanes.log_checks` and `lanes.log_guard` notice that a topic was recreated; `faust_bridge.skipped_messages` finds what
Faust fetched and dropped; `lanes.watchdog` restarts a lane that gets nowhere; `lanes.standstill` says how long one has
stood."""
