package ramen.client.kotlin

import java.util.concurrent.CompletableFuture
import kotlin.time.Duration
import kotlin.time.toJavaDuration
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.future.await
import kotlinx.coroutines.withContext
import ramen.client.AsyncMessageHandler
import ramen.client.DeviceContext
import ramen.client.Message
import ramen.client.RamenDevice
import ramen.client.publish.Publication
import ramen.client.publish.RamenPublisher
import ramen.client.publish.Result

/**
 * The messages of a device that lives as long as the collection: it is started when a collector comes, and closed when the collector goes, fails, or its
 * scope is cancelled. A message is processed, and acked, when the collector asks for the next one; one that was under way when the collector
 * failed comes again. The flow throws [ramen.client.EndedException] where the server ended the device. Each collector has a device of its own, so collect
 * once for a user and device, and share with `shareIn`.
 *
 * [started] is given the device, to tell it of the network or to ask for its state.
 */
public fun RamenDevice.Builder.messages(started: (RamenDevice) -> Unit = {}): Flow<Message> {
    val builder = this
    return flow {
        val offered = Channel<Pair<Message, CompletableFuture<Unit>>>(1)
        val handler = AsyncMessageHandler { message ->
            val processed = CompletableFuture<Unit>()
            offered.trySend(Pair(message, processed)) // there is room: the device has one message at a time under way
            processed
        }
        val device = synchronized(builder) { builder.asyncHandler(handler).build() }
        device.start()
        device.ended().whenComplete { _, error -> offered.close(error) }
        var last: CompletableFuture<Unit>? = null
        try {
            started(device)
            for ((message, processed) in offered) {
                last = processed
                emit(message)
                last = null
                processed.complete(Unit)
            }
        } finally {
            device.stop() // first, so that what is behind is not begun
            last?.cancel(false)
            withContext(NonCancellable) { device.ended().exceptionally { null }.await() } // what is processed is acked
        }
    }
}

/** Publishes one message and waits for the server's word: [RamenPublisher.publish]. */
public suspend fun RamenPublisher.send(publication: Publication, timeout: Duration? = null): Result =
    (if (timeout == null) publish(publication) else publish(publication, timeout.toJavaDuration())).await()

/** Publishes messages, in their order: [RamenPublisher.publishAll]. */
public suspend fun RamenPublisher.sendAll(publications: List<Publication>, timeout: Duration? = null): List<Result> =
    (if (timeout == null) publishAll(publications) else publishAll(publications, timeout.toJavaDuration())).await()

/** A context, as in `deviceContext { app("rider"); label("zone", "north") }`. */
public fun deviceContext(fill: DeviceContext.Builder.() -> Unit): DeviceContext = DeviceContext.builder().apply(fill).build()
