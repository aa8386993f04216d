package backend

import (
	"testing"

	"google.golang.org/grpc"

	"ramen/frontend/grpcend/grpcendtest"
)

// Calls end as ever where grpc's own streams have no WriteStatus: as after an update of grpc-go that renames it.
func TestCallsEndWithoutWriteStatus(t *testing.T) {
	grpcOptions = []grpc.ServerOption{grpcendtest.Hidden()}
	t.Cleanup(func() { grpcOptions = nil })
	for name, test := range map[string]func(*testing.T){
		"publish": TestPublishOverGRPC, "refused": TestGRPCRequestsRefusedAsAWhole, "in order": TestPublishStreamAnswersInOrderAndAsksTogether,
		"cut": TestCutPublishStreamLeavesNothingUnderWay, "drain": TestDrainAnswersWhatWasReadAndEndsPublishStreams,
		"no answer is taken": TestFix18StreamThatTakesNoAnswersEnds, "nothing is read": TestFix18StreamsThatReadNothingStopNobody,
	} {
		t.Run(name, test)
	}
}
