# One image for all processes; the command selects the process (see docker-compose.yml).
FROM python:3.11-slim AS build
WORKDIR /src
RUN python -m venv /opt/ticketing
ENV PATH=/opt/ticketing/bin:$PATH
COPY . .
RUN pip install --no-cache-dir --disable-pip-version-check -c constraints.txt .

FROM python:3.11-slim
RUN groupadd --system --gid 10001 ticketing \
 && useradd --system --uid 10001 --gid 10001 --create-home --home-dir /var/lib/ticketing ticketing
COPY --from=build /opt/ticketing /opt/ticketing
ENV PATH=/opt/ticketing/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOST=0.0.0.0 \
    PORT=8000 \
    TICKETING_HOME=/var/lib/ticketing
USER 10001:10001
WORKDIR /var/lib/ticketing
VOLUME /var/lib/ticketing
EXPOSE 8000
ENTRYPOINT ["ticketing"]
CMD ["api"]
