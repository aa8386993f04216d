// Faults runs real servers on real stores while something is done to both: a store that is paused, killed, cut off, flushed or full, a
// node of several that is gone, an owner that is killed, paused or taken over from; singly, in pairs within the same second, and in
// schedules with a name. Publishers and devices go on throughout (package observe), and from what they have seen alone it is judged
// (package judge) whether anything that was accepted is missing, and whether anything came back.
//
// What is drawn comes from a seed that is printed; what servers and system do does not. A store that may lose messages as it is configured
// has these counted, and not judged.
//
//   - A site is a store with its servers, and what can be done to them. It is started once, and serves all schedules.
//   - A schedule is what is done, and when. Each has users of its own.
//   - A stage is one run of a schedule: the fleet of ramen processes, the clients, and the log.
//   - A table has a row for each fault, pair and schedule. With --rest a run does what a table lacks, so that all pairs of a store can be
//     done in several runs, each of a bounded time (--for).
//
// Goroutines: those of package observe, one a fault that is under way, and one that watches the fleet.
package main
