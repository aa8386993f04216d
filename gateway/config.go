package gateway

import (
	"fmt"
	"time"

	"ramen/gateway/mailbox"
	"ramen/protocol"
)

// Config is what an operator may set of a gateway. Default gives the values of SPEC.
type Config struct {
	MailboxMessages int   `yaml:"mailbox_messages" doc:"The most messages that wait for one user. Beyond it publishes to that user are resource_exhausted."`
	MailboxBytes    int64 `yaml:"mailbox_bytes" doc:"The most bytes of payloads, headers and where that wait for one user. Beyond it publishes to that user are resource_exhausted. At least 1MiB. One user's messages, with overhead as memory_bytes counts it, take at most a quarter of memory_bytes."`
	MemoryBytes     int64 `yaml:"memory_bytes" doc:"The most bytes of memory for users: waiting messages with their overhead, remembered ids, devices, and streams (1 KiB each; 32 KiB over gRPC). When it is full, publishes are unavailable (low priority from 80 %, medium from 90 %), and so are calls for users that are not in memory. If the process may not use as much (cgroup, GOMEMLIMIT, the machine's memory), a smaller value is used and logged at the start."`

	DevicesPerUser int           `yaml:"devices_per_user" doc:"The most known devices of one user, from 1 to 1024. For a new one, the device that was unseen the longest and has no stream is forgotten."`
	DeviceUnseen   time.Duration `yaml:"device_unseen" doc:"A device that was not seen for this long is forgotten."`

	OpensPerSecond     float64       `yaml:"opens_per_second" doc:"How many streams and polls one user may open per second. 0: no limit."`
	OpensBurst         int           `yaml:"opens_burst" doc:"How many streams and polls one user may open at once."`
	PublishesPerSecond float64       `yaml:"publishes_per_second" doc:"How many messages may be published to one user per second. 0: no limit."`
	PublishesBurst     int           `yaml:"publishes_burst" doc:"How many messages may be published to one user at once."`
	IDRetention        time.Duration `yaml:"id_retention" doc:"How long a message id is remembered after its message was accepted; a second publish of it is a duplicate. From 1s to 24h. A longer time takes about 60 bytes of disk per message."`
	MailboxIdle        time.Duration `yaml:"mailbox_idle" doc:"A user without streams and publishes for this long is removed from memory. The store keeps what waits."`
	SaveInterval       time.Duration `yaml:"save_interval" doc:"How often acks are saved. After a crash, messages acked within this time can be pushed again to devices that come without a cursor. At most half of mailbox_idle."`
	ExpiryScanInterval time.Duration `yaml:"lapse_interval" doc:"How often the store is scanned for expired messages and unseen devices."`
	AckTimeoutOneWay   time.Duration `yaml:"ack_timeout_one_way" doc:"SSE: a stream whose window is full ends if nothing is acked for this long. The device reconnects, which acks."`
	AckTimeoutTwoWay   time.Duration `yaml:"ack_timeout_two_way" doc:"WebSocket and gRPC: a stream whose window is full ends if nothing is acked for this long."`
	AppendTimeout      time.Duration `yaml:"append_timeout" doc:"Deadline of one write to the store. After it the publish is unavailable."`
	LoadTimeout        time.Duration `yaml:"load_timeout" doc:"Deadline of loading one user from the store. After it the call that needed the user is unavailable."`
	Committers         int           `yaml:"committers" doc:"Deprecated: leave it out, and set commit_queue. Where it is set, it multiplies commit_queue, and the log has a warning. 0 (not set) to 256."`
	CommitMessages     int           `yaml:"commit_messages" doc:"The most messages in one write for one user."`
	CommitQueue        int           `yaml:"commit_queue" doc:"The most publish calls under way at once. Beyond it publishes are unavailable."`
	ShardCount         int           `yaml:"-"` // as the topology has it
}

// Default is the configuration of a gateway as SPEC describes it.
func Default() Config {
	return Config{
		MailboxMessages:    10_000,
		MailboxBytes:       64 << 20,
		MemoryBytes:        4 << 30,
		DevicesPerUser:     64,
		DeviceUnseen:       30 * 24 * time.Hour,
		OpensPerSecond:     50,
		OpensBurst:         500,
		PublishesPerSecond: 2000,
		PublishesBurst:     20_000,
		IDRetention:        5 * time.Minute,
		MailboxIdle:        time.Minute,
		SaveInterval:       time.Second,
		ExpiryScanInterval: 10 * time.Minute,
		AckTimeoutOneWay:   5 * time.Second,
		AckTimeoutTwoWay:   60 * time.Second,
		AppendTimeout:      500 * time.Millisecond,
		LoadTimeout:        2 * time.Second,
		CommitMessages:     4096,
		CommitQueue:        4096,
		ShardCount:         1024,
	}
}

// Validate says which value cannot be, and what can.
func (c *Config) Validate() error {
	for _, f := range []struct {
		name string
		ok   bool
		want string
	}{
		{"mailbox_messages", c.MailboxMessages >= 1, "at least 1"},
		{"mailbox_bytes", c.MailboxBytes >= 1<<20, "at least 1 MiB, the largest payload"},
		{"memory_bytes", c.MemoryBytes >= 16<<20, "at least 16 MiB"},
		{"devices_per_user", c.DevicesPerUser >= 1 && c.DevicesPerUser <= 1024, "1 to 1024"},
		{"device_unseen", c.DeviceUnseen >= time.Minute, "at least 1m"},
		{"opens_per_second", c.OpensPerSecond >= 0, "0 (no limit) or more"},
		{"opens_burst", c.OpensPerSecond == 0 || c.OpensBurst >= 1, "at least 1"},
		{"publishes_per_second", c.PublishesPerSecond >= 0, "0 (no limit) or more"},
		{"publishes_burst", c.PublishesPerSecond == 0 || c.PublishesBurst >= 1, "at least 1"},
		{"id_retention", c.IDRetention >= time.Second && c.IDRetention <= 24*time.Hour, "1s to 24h"},
		{"mailbox_idle", c.MailboxIdle >= time.Second, "at least 1s"},
		{"save_interval", c.SaveInterval >= time.Millisecond && 2*c.SaveInterval <= c.MailboxIdle, "at least 1ms and at most half of mailbox_idle"},
		{"lapse_interval", c.ExpiryScanInterval >= time.Second, "at least 1s"},
		{"ack_timeout_one_way", c.AckTimeoutOneWay >= 100*time.Millisecond, "at least 100ms"},
		{"ack_timeout_two_way", c.AckTimeoutTwoWay >= 100*time.Millisecond, "at least 100ms"},
		{"append_timeout", c.AppendTimeout >= 10*time.Millisecond, "at least 10ms"},
		{"load_timeout", c.LoadTimeout >= 10*time.Millisecond, "at least 10ms"},
		{"committers", c.Committers >= 0 && c.Committers <= 256, "0 (not set) to 256"},
		{"commit_messages", c.CommitMessages >= 1, "at least 1"},
		{"commit_queue", c.CommitQueue >= 1, "at least 1"},
	} {
		if !f.ok {
			return fmt.Errorf("gateway: %s must be %s", f.name, f.want)
		}
	}
	return nil
}

// maxCalls is the most publish calls under way.
func (c *Config) maxCalls() int64 { return int64(max(1, c.Committers) * c.CommitQueue) }

// ackTimeout is how long a full window may stay without an ack; 0 for ever (a poll ends by itself). SPEC 2.9.
func (c *Config) ackTimeout(t protocol.Transport) time.Duration {
	switch {
	case t == protocol.TransportPoll:
		return 0
	case t.TwoWay():
		return c.AckTimeoutTwoWay
	}
	return c.AckTimeoutOneWay
}

// limits is what mailboxes are bound by.
func (c *Config) limits() mailbox.Limits {
	return mailbox.Limits{
		Messages: c.MailboxMessages, Bytes: c.MailboxBytes, Memory: c.MemoryBytes, Devices: c.DevicesPerUser,
		OpensPerSecond: c.OpensPerSecond, OpensBurst: c.OpensBurst,
		PublishesPerSecond: c.PublishesPerSecond, PublishesBurst: c.PublishesBurst, IDRetention: c.IDRetention,
	}
}
