# A page and a health check, with nothing but Ruby's own library.
require "erb"
require "socket"

PAGE = ERB.new(File.read(File.join(__dir__, "page.html.erb")))

def answer(path)
  case path
  when "/" then ["200 OK", "text/html; charset=utf-8", PAGE.result]
  when "/healthz" then ["200 OK", "application/json", '{"status":"ok"}']
  else ["404 Not Found", "text/plain", "Not found\n"]
  end
end

def serve(client)
  path = client.gets.to_s.split[1]
  loop { break if client.gets.to_s.strip.empty? }
  status, kind, body = answer(path)
  client.write("HTTP/1.1 #{status}\r\nContent-Type: #{kind}\r\nContent-Length: #{body.bytesize}\r\nConnection: close\r\n\r\n", body)
rescue SystemCallError, IOError => error
  warn("A client went away: #{error.message}")
ensure
  client.close
end

trap("TERM") { exit }
port = Integer(ENV.fetch("PORT", "9292"))
server = TCPServer.new("0.0.0.0", port)
$stdout.sync = true
puts "Listening on port #{port}"
loop { Thread.new(server.accept) { |client| serve(client) } }
