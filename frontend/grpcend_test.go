package frontend

import (
	"testing"

	"google.golang.org/grpc"

	"ramen/frontend/grpcend/grpcendtest"
)

// Streams end as ever where grpc's own have no WriteStatus: as after an update of grpc-go that renames it.
func TestGRPCStreamsEndWithoutWriteStatus(t *testing.T) {
	grpcOptions = []grpc.ServerOption{grpcendtest.Hidden()}
	t.Cleanup(func() { grpcOptions = nil })
	for name, test := range map[string]func(*testing.T){
		"hello comes first": TestHelloComesFirst, "the newest wins": TestNewestWins, "the gateway ends it": TestGatewayEndsStream,
		"a lost gateway": TestLostGatewayKeepsTheSocket, "a device that leaves": TestDeviceThatLeavesFreesItsStream,
		"close": TestCloseEndsEveryStream, "goodbye": TestCloseSaysGoodbyeOverEveryTransport, "drain": TestDrainedStreamIsPushedToUntilItEnds,
		"frames that break the contract": TestFramesThatBreakTheContract, "a frame over the limit": TestGRPCFrameOverTheLimitEndsTheStream,
		"no open": TestFirstFrameMustBeOpen, "a wrong open": TestWrongOpenFrameIsRefused, "a second open": TestSecondOpenEndsTheStream,
		"nothing comes": TestRequestThatNeverComesIsDropped, "a slow reader": TestSlowReaderHoldsUpItselfAlone,
		"a burst": TestBurstBeyondTheCreditArrivesWhole, "the owner refuses": TestOwnersRefusalIsTold,
		"a bad refresh": TestBadRefreshEndsTheStream, "reopened elsewhere": TestReopenElsewhereEndsTheStream,
	} {
		t.Run(name, test)
	}
}
