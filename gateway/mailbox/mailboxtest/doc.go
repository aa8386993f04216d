// Package mailboxtest has what is done to one user's mailbox in a test against a model: the model, and acts drawn from a fuzzer's
// bytes. Whoever tests a level (a mailbox alone, a gateway on a store) writes a driver, which does each act to what it tests and to the
// model, and compares the two.
//
// The model answers each question by looking at everything. Its cursors are counts of the messages that were ever inserted. It has no
// goroutine and no lock: the driver's goroutine calls it.
//
// What a level cannot do of an act it leaves out, for itself and for the model: a gateway answers each write before the next act, and a
// mailbox alone does not leave memory by itself.
package mailboxtest
