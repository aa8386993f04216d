package arrows

// part is a package, or with /... at its end all below one that have no part of their own before it, and what these may import of
// this module.
type part struct {
	path  string
	may   []string
	never []string // packages of others that are kept out
	why   string   // what the part must stay, in the words of a fault
}

// parts are all of the module, from the words up to the binary. The first that matches counts.
var parts = []part{
	// The words.
	{path: "protocol", may: []string{"protocol/protowalk"}, never: []string{"google.golang.org/grpc/...", "net/http"},
		why: "protocol is the words that all share: it knows nobody, and no transport"},
	{path: "protocol/protowalk", why: "it walks over bytes: it does not know what the fields mean"},
	{path: "protocol/ramenpb", why: "it is generated"},
	{path: "protocol/grpcstatus", may: []string{"protocol"}, why: "it says the words of protocol in gRPC's"},

	// The contracts, which do not know each other.
	{path: "link", may: []string{"protocol"}, why: "the link is a contract between two that do not know each other"},
	{path: "link/linkgrpc/linkpb", why: "it is generated"},
	{path: "link/linkgrpc/frame", may: []string{"link", "protocol", "protocol/protowalk"}, why: "a frame is bytes: it does not know who sends them"},
	{path: "link/linkgrpc", may: []string{"link", "link/linkgrpc/frame", "link/linkgrpc/linkpb", "protocol", "internal/tool/promset", "internal/tool/tcpconn"},
		why: "it carries the calls of the link's contract: it knows neither who makes nor who answers them"},
	{path: "link/...", may: []string{"link", "protocol"}, why: "an implementation or a suite of the link's contract knows no more than the contract"},
	{path: "topology/topologytest", may: []string{"topology", "protocol"}, why: "a suite knows the contract, not who keeps it"},
	{path: "topology/registry/registrypb", why: "it is generated"},
	{path: "topology/registry/registrytest", may: []string{"topology/registry"}, why: "a suite knows the contract, not who keeps it"},
	{path: "topology/registry", may: []string{"topology", "topology/registry/registrypb", "protocol"}, why: "it is what members and controllers write to each other"},
	{path: "topology/registry/...", may: []string{"topology/registry"}, why: "it keeps keys and values: it does not know what they mean"},
	{path: "topology/assign", may: []string{"topology"}, why: "who is to own what is a pure function of members: it knows neither views nor who follows them"},
	{path: "topology/controller", may: []string{"topology", "topology/assign", "topology/registry", "protocol"}, why: "who is to own what follows from who is there: it reaches neither gateways nor stores"},
	{path: "topology/admin", may: []string{"topology", "topology/registry", "protocol"}, why: "it sees and changes a cluster, whoever asks for it"},
	{path: "topology/etcdserver", why: "it is etcd in a process"},
	{path: "topology", may: []string{"protocol"}, why: "who owns what is a question apart from how it is asked or kept"},
	{path: "store", may: []string{"protocol"}, why: "a store keeps mailboxes, whoever asks"},
	{path: "store/storetest", may: []string{"store", "protocol"}, why: "a suite knows the contract, not who keeps it"},
	{path: "store/tiered", may: []string{"store", "store/driver", "protocol", "internal/tool/promset"}, why: "it is made of two stores, whichever they are"},
	{path: "store/driver", may: []string{"store"}, why: "a driver is how a store is opened, whatever it is"},
	{path: "store/presence", may: []string{"store", "protocol"}, why: "it asks a store who is there, whichever it is"},
	{path: "store/memory", may: []string{"store", "store/driver", "store/presence", "protocol"}, why: "a store keeps mailboxes, whoever asks"},
	{path: "store/pebble", may: []string{"store", "store/codec", "store/driver", "protocol", "store/pebble/journal", "internal/tool/promset"}, why: "a store keeps mailboxes, whoever asks"},
	{path: "store/control", may: []string{"store"}, why: "it carries commands to a running store, whichever it is, and nothing else"},
	{path: "store/codec", may: []string{"store", "protocol"}, why: "it writes the words of the contract as bytes, for whichever store"},
	{path: "store/redis", may: []string{"store", "store/codec", "store/driver", "store/presence", "protocol", "internal/tool/promset"}, why: "a store keeps mailboxes, whoever asks"},
	{path: "store/cassandra", may: []string{"store", "store/codec", "store/driver", "store/presence", "protocol", "internal/tool/promset"}, why: "a store keeps mailboxes, whoever asks"},
	{path: "store/transfer", may: []string{"store", "protocol"}, why: "it moves mailboxes between two stores, whichever they are"},
	{path: "store/pebble/journal", may: []string{"store/pebble/datasync"}, why: "a journal holds bytes: it does not know of what"},
	{path: "store/pebble/datasync", why: "it writes to files"},

	// The two sides of the link.
	{path: "gateway/mailbox", may: []string{"store", "protocol", "internal/tool/ratelimit"}, why: "a mailbox is pure: no link, no shards, no store that works; of package store it has the words"},
	{path: "gateway/member", may: []string{"gateway", "topology", "topology/registry", "protocol"}, why: "it gives a gateway its shards by views: it knows neither links nor mailboxes"},
	{path: "gateway/mailbox/mailboxtest", may: []string{"protocol"}, why: "a model knows the promises, not who keeps them"},
	{path: "gateway/lease", may: []string{"gateway", "store", "topology", "protocol", "internal/tool/errlist"}, why: "it gives a gateway its shards by a store's claims: it knows neither links nor mailboxes"},
	{path: "gateway", may: []string{"gateway/mailbox", "link", "store", "topology", "protocol", "internal/tool/errlist"}, why: "a gateway lives without a frontend in its process, and on any store"},
	{path: "frontend", may: []string{"link", "topology", "protocol", "protocol/ramenpb", "protocol/grpcstatus",
		"frontend/accept", "frontend/admission", "frontend/request", "frontend/stream", "frontend/transport/...",
		"frontend/auth", "frontend/grpcend", "frontend/h2", "frontend/httpconn", "frontend/origin", "frontend/sock", "frontend/ws"},
		why: "a frontend is stateless: what it wants of a gateway it asks over the link"},
	{path: "frontend/transport/...", may: []string{"link", "protocol", "protocol/ramenpb", "protocol/grpcstatus",
		"frontend/admission", "frontend/request", "frontend/stream", "frontend/transport",
		"frontend/auth", "frontend/grpcend", "frontend/h2", "frontend/httpconn", "frontend/origin", "frontend/sock", "frontend/ws"},
		why: "a transport writes frames for streams: it knows neither the server nor how connections come in"},
	{path: "frontend/request", may: []string{"link", "protocol", "frontend/auth", "frontend/stream"},
		why: "what a device asks for does not depend on how it is answered"},
	{path: "frontend/stream", may: []string{"link", "topology", "protocol", "frontend/admission", "frontend/auth", "frontend/sock"},
		why: "a stream is the same over every transport"},
	{path: "frontend/accept", may: []string{"protocol", "frontend/admission", "frontend/httpconn", "frontend/sock"},
		why: "who accepts a connection knows neither streams nor transports"},
	{path: "frontend/admission", may: []string{"protocol", "frontend/sock", "internal/tool/ratelimit"}, why: "limits count streams: they do not know what is in them"},
	{path: "frontend/route", may: []string{"link", "topology", "protocol"}, why: "it finds owners, whoever wants them"},
	{path: "frontend/backend", may: []string{"link", "protocol", "protocol/ramenpb", "protocol/grpcstatus", "frontend/auth", "frontend/grpcend", "frontend/h2", "frontend/httpconn", "frontend/origin", "internal/tool/tcpconn"},
		why: "the backends' side knows nothing of devices' streams"},
	{path: "frontend/clusterapi", may: []string{"topology/admin", "protocol", "frontend/auth", "frontend/httpconn"}, why: "it says over HTTP what topology/admin does"},
	{path: "frontend/auth", may: []string{"protocol"}, why: "who somebody is does not depend on what they ask for"},
	{path: "frontend/httpconn", may: []string{"protocol"}, why: "it serves HTTP, whatever is asked for"},
	{path: "frontend/console", why: "it is a page"},
	{path: "frontend/origin", why: "it compares origins"},
	{path: "frontend/sock", why: "it moves bytes: it does not know of what"},
	{path: "frontend/grpcend/...", why: "it ends calls, whoever serves them"},
	{path: "frontend/h2", may: []string{"frontend/grpcend"}, why: "it counts frames, whatever is in them"},
	{path: "frontend/h2/h2test", why: "it writes frames"},
	{path: "frontend/ws", why: "it frames bytes: it does not know of what"},

	// Clients know the wire alone.
	{path: "clients/go/wire", may: []string{"protocol", "protocol/grpcstatus"}, why: "a client is written against the wire alone, and is light to import"},
	{path: "clients/go", may: []string{"clients/go/wire", "protocol", "protocol/ramenpb", "protocol/grpcstatus"},
		why: "a client is written against the wire alone, and is light to import"},

	// The load tester knows a server by its wire alone.
	{path: "loadtest/ledger/judge", may: []string{"protocol"}, why: "it judges what happened, whoever made it happen"},
	{path: "loadtest/chaos/testbed", may: []string{"loadtest/...", "internal/localcluster", "internal/netspace", "internal/testserver/...", "internal/stores", "store", "store/driver", "protocol"},
		why: "it also reads in the store who has claimed which shard, as a gateway does"},
	{path: "loadtest/chaos/...", may: []string{"loadtest/...", "internal/localcluster", "internal/netspace", "internal/testserver/...", "protocol"}, why: "it knows servers by the wire, and does to a cluster's processes what can be done"},
	{path: "loadtest/faults", may: []string{"loadtest/...", "internal/testserver/...", "internal/testdisk", "protocol"}, why: "it knows servers by the wire, and does to stores what can be done"},
	{path: "loadtest/stores", may: []string{"loadtest/...", "internal/testserver/..."}, why: "it knows servers by the wire, and starts those of stores"},
	{path: "loadtest/...", may: []string{"loadtest/...", "clients/go/wire", "protocol", "protocol/protowalk", "protocol/ramenpb", "internal/ports", "internal/netspace", "internal/testcert"},
		why: "a load test knows a server by its wire contract alone"},

	// Tools, which know no part.
	{path: "internal/tool/config", why: "it fills structs: it does not know whose"},
	{path: "internal/tool/authority", why: "it makes certificates: it does not know for whom"},
	{path: "internal/tool/collector", why: "it is a tool below all parts"},
	{path: "internal/tool/tcpconn", why: "it moves bytes: it does not know of what"},
	{path: "internal/tool/ratelimit", why: "it is a tool below all parts"},
	{path: "internal/tool/errlist", why: "it is a tool below all parts"},
	{path: "internal/tool/promset", why: "it is a tool below all parts"},
	{path: "internal/tool/memlimit", why: "it is a tool below all parts"},
	{path: "internal/stores", may: []string{"store/...", "store", "protocol", "internal/tool/promset"}, why: "it knows all stores, and none of those who use one"},
	{path: "internal/netspace", why: "it makes networks, whoever is in them"},
	{path: "internal/ports", why: "it is a tool of tests"},
	{path: "internal/testapp", may: []string{"internal/app"}, why: "it is a tool of tests"},
	{path: "internal/testcluster", may: []string{"internal/app", "internal/ports", "internal/testapp"}, why: "it is a tool of tests"},
	{path: "internal/testprocess", why: "it is a tool of tests"},
	{path: "internal/testcert", why: "it is a tool of tests"},
	{path: "internal/testdisk", why: "it is a tool of tests"},
	{path: "internal/testserver/...", may: []string{"internal/testserver/...", "internal/ports", "internal/testcert"}, why: "it is a tool of tests"},
	{path: "internal/localcluster", may: []string{"internal/testserver/...", "internal/ports"}, why: "it is a tool of tests: it runs the binary, and knows members by what they tell"},
	{path: "deploy/local", may: []string{"internal/localcluster", "internal/testserver"}, why: "it starts processes of the binary"},
	{path: "scripts/...", why: "it is a program of the build"},
	{path: "internal/arrows", why: "it has tests alone"},
	{path: "internal/operated", why: "it has tests alone"},
	{path: "internal/deployed", why: "it has tests alone"},
	{path: "internal/cluster", why: "it has tests alone"},
	{path: "internal/process", why: "it has tests alone"},
	{path: "internal/proxied", why: "it has tests alone"},
	{path: "internal/simulation", why: "it has tests alone"},
	{path: "internal/system", why: "it has tests alone"},

	// What knows everything.
	{path: "internal/app", may: []string{"frontend/...", "gateway", "gateway/lease", "gateway/member", "link", "link/...", "topology", "topology/...", "store", "store/control", "store/driver", "protocol", "internal/stores", "internal/tool/config", "internal/tool/memlimit"},
		why: "it is the wiring of a server: it needs no client, no load test and no command"},
	{path: "cmd/ramen", may: []string{"internal/app", "internal/stores", "store", "store/driver", "store/transfer", "internal/tool/authority", "internal/tool/collector", "internal/tool/config", "topology/admin", "clients/...", "loadtest/...", "protocol",
		"frontend/auth", "store/pebble", "store/control"},
		why: "a command starts the app, or is about one thing alone"},
}
