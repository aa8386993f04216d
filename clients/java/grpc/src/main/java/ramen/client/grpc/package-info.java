/** gRPC by grpc-java's OkHttp transport, which Android has too: {@link ramen.client.grpc.RamenGrpc}. */
package ramen.client.grpc;
