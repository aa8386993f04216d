package ramen.client.kotlin

import java.io.File
import java.net.InetAddress
import java.net.ServerSocket
import java.net.URI
import java.nio.file.Path
import java.util.UUID
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.TimeUnit
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.collect
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.BeforeAll
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir
import ramen.client.EndedException
import ramen.client.RamenDevice
import ramen.client.State
import ramen.client.publish.Publication
import ramen.client.publish.RamenPublisher

/** Against a real server. C 15 */
class MessagesTest {
    private val user = UUID.randomUUID().toString()

    private fun device() = RamenDevice.builder(url).user(user).device("d")

    private fun text(text: String) = Publication.to(user).json(text).build()

    @Test
    fun `messages are processed when the collector asks for the next one`() = test { publisher ->
        for (i in 1..5) publisher.send(text("$i"), 30.seconds)
        assertEquals(listOf("1", "2", "3"), device().messages().map { it.text() }.take(3).toList())
        // take has the third, and asks for no more: it comes again.
        assertEquals(listOf("3", "4", "5"), device().messages().map { it.text() }.take(3).toList())
    }

    @Test
    fun `message of a collector that fails comes again`() = test { publisher ->
        publisher.sendAll(listOf(text("1"), text("2")))
        val failed = runCatching { device().messages().collect { check(it.text() != "2") { "not now" } } }
        assertEquals("not now", failed.exceptionOrNull()?.message)
        assertEquals("2", device().messages().first().text())
    }

    @Test
    fun `cancelled scope closes the device`() = test { publisher ->
        val devices = CopyOnWriteArrayList<RamenDevice>()
        val job = launch { device().messages { devices.add(it) }.collect() }
        while (devices.isEmpty() || devices[0].state().state() != State.ONLINE) delay(10)
        job.cancel()
        job.join()
        devices[0].ended().get(30, TimeUnit.SECONDS)
        assertEquals(false, publisher.devices(user).get().single().online())
    }

    @Test
    fun `flow throws where the server ends the device`() = test { publisher ->
        val job = launch {
            while (publisher.disconnect(user, "", "bye").get() == 0) delay(10)
        }
        val ended = runCatching { device().messages().collect() }.exceptionOrNull()
        assertEquals("disconnected", (ended as EndedException).reason())
        job.join()
    }

    private fun test(body: suspend kotlinx.coroutines.CoroutineScope.(RamenPublisher) -> Unit) = runBlocking {
        withTimeout(120.seconds) { RamenPublisher.builder(backend).build().use { body(it) } }
    }

    companion object {
        private lateinit var url: String
        private lateinit var backend: String
        private lateinit var process: Process

        @TempDir @JvmStatic
        lateinit var folder: Path

        @BeforeAll
        @JvmStatic
        fun start() {
            val sockets = List(4) { ServerSocket(0, 1, InetAddress.getLoopbackAddress()) }
            val ports = sockets.map { it.localPort }
            sockets.forEach { it.close() }
            url = "http://127.0.0.1:${ports[0]}"
            backend = "http://127.0.0.1:${ports[2]}"
            val binary = System.getenv("RAMEN_BINARY") ?: File("../../../bin/ramen").absolutePath
            val listen = listOf("devices", "devices-grpc", "backends", "backends-grpc").zip(ports) { name, port -> "--listen.$name=127.0.0.1:$port" }
            process = ProcessBuilder(listOf(binary, "serve", "--dev", "--data=${folder.resolve("data")}") + listen)
                .redirectErrorStream(true).redirectOutput(folder.resolve("log").toFile()).start()
            val until = System.nanoTime() + TimeUnit.MINUTES.toNanos(1)
            while (runCatching { URI("$backend/readyz").toURL().readText() }.isFailure) {
                check(process.isAlive && System.nanoTime() < until) { folder.resolve("log").toFile().readText().takeLast(2000) }
                Thread.sleep(50)
            }
        }

        @AfterAll
        @JvmStatic
        fun stop() {
            process.destroyForcibly().onExit().join()
        }
    }
}
